"""Importing this package registers every component that gendsl ships; one module for each kind."""
