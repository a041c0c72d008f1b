"""A planner on paper: what a model on a GPU can give at most, and what to plan with.

Formulas and their sources stand in `bounds`, efficiency factors in `expected`, published figures
that both are held against in `published.yaml` (see `check`). Nothing here needs a GPU.
"""
