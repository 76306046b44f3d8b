"""From a Spec to a Model: lower, passes, plans (no torch) and build (torch)."""

if __name__ == "compiler":
    raise ImportError("import it as gendsl.compiler")
