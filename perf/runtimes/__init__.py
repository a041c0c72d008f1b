"""Runtimes for measurements, found by name like the real ones; nothing builds bundles for them."""
