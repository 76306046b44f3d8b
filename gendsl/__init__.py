"""gendsl: deep generative models from a short YAML spec."""

__version__ = "0.1.0"
