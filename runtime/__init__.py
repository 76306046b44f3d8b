"""Trains, samples, evaluates and keeps every composition in the same way."""

if __name__ == "runtime":
    raise ImportError("import it as gendsl.runtime")
