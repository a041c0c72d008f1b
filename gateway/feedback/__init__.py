"""What users think of responses."""
