"""Content filters for prompts and answers."""
