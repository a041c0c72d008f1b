"""Files, and batches that run in the background."""
