"""Traces and logs that name the same request."""
