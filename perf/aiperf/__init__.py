"""Runs NVIDIA's aiperf in an environment of its own with a profile's load, and reads its export."""
