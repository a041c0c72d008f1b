"""Finds or installs NVIDIA's perf_analyzer, runs it with a profile's load, and reads its export."""
