"""Prefixes of the lines that `prepare` writes for `up` to read."""

PROGRESS, FAILURE = "progress: ", "failure: "
