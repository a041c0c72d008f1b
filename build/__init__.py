"""Builds engine bundles from checkpoints. Each runtime is one file and one registration."""
