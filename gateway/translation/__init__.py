"""Shared code of the APIs that are translated to chat requests."""
