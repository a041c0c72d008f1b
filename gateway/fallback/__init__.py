"""Fallback to other models and external providers."""
