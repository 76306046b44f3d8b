"""The components that gendsl ships: spec models, each registered under a tag of its kind.

`gendsl.schema.registry.MODULES` says which modules hold a kind; they are imported when a spec names what is in them.
"""
