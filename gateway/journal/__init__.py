"""Files of JSON lines that other processes read."""
