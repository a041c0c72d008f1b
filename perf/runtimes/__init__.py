"""Runtimes for measurements, registered like the real ones. No builder creates bundles for them."""
