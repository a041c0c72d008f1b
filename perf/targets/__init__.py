"""What the path is to reach, and what it reaches on this machine."""
