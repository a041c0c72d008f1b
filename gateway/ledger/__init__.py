"""What was used, by whom, at which price."""
