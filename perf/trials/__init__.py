"""Trials of `perf compare` with versions whose difference is known; only in a checkout."""
