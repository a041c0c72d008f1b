"""Metrics and trace spans of calls."""
