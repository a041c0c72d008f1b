"""API keys: authentication and authorization of callers."""
