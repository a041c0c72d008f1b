"""The OpenAI-compatible adapter in front of Triton."""
