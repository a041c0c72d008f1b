"""Checkpoint → engine bundle: one file a runtime, one registration each."""
