"""Runs guidellm in an environment of its own with a profile's load, and reads its report."""
