"""guidellm: in an environment of its own, driven by profiles, its report read."""
