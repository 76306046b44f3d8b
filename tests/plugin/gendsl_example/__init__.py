"""A plug-in for gendsl, as small as one can be; `requires: [example]` in a spec loads it."""
