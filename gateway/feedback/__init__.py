"""User feedback on responses."""
