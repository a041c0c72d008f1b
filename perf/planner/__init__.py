"""Computes the upper bound and the expected throughput of a model on a GPU, without a GPU.

`bounds` has the formulas and their sources, `expected` the efficiency factors, and `published.yaml`
the published figures that both are checked against (see `check`).
"""
