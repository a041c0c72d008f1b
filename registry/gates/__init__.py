"""Gates: checks of a version before it gets traffic."""
