"""The rules of derivation (docs/semantics.md, sections 4 to 8): the route of one latent, and the terms that follow.

The passes `routes` and `objective` apply them to a whole graph.
"""
