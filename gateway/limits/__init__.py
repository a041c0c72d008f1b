"""Rate limits, budgets and the fair-share queue in front of the engine."""
