"""Samples of requests, which the release controller fetches."""
