"""Files of JSON lines for other processes."""
