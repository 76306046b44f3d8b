"""The specs that ship with gendsl, one YAML file for each model."""
