"""Runs an engine: the in-flight batching loop, one file a runtime."""
