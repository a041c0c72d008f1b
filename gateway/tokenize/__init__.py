"""Routes for tokenizing and detokenizing."""
