"""Model aliases, and defaults for requests to a model."""
