"""Measures the performance targets of the path on this machine."""
