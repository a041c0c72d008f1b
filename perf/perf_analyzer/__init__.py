"""NVIDIA's perf_analyzer: found or installed, driven by profiles, its export read."""
