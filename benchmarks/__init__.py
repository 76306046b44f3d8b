"""Measurements, ours beside others. Nothing here is part of the package or of the test run."""
