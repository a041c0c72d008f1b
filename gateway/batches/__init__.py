"""The Files API, and batches that run in the background."""
