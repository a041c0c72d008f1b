"""Prompts from MLflow's prompt registry."""
