"""The request that code works for: its id, its log lines, its line in the access log."""
