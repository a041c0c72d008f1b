"""Rollouts: the specification, the state machine, the statistics. Pure: no I/O in here."""
