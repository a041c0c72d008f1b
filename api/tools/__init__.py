"""Tool calls: a parser for each model family."""
