"""Request ids, log lines and the access log."""
