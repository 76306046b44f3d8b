"""python -m gendsl."""

from gendsl.cli import entry

entry()
