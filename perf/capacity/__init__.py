"""Measures the capacity of one replica within an SLO, and sizes a fleet from it."""
