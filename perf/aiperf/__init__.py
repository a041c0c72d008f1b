"""NVIDIA's aiperf: in an environment of its own, driven by profiles, its export read."""
