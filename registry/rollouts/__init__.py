"""Rollouts: specification, state machine and statistics. Pure functions without I/O."""
