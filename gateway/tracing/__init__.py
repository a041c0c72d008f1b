"""Metrics and spans of whole calls."""
