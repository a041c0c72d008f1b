"""From what pydantic says of a request to the one error that its sender is told."""

from __future__ import annotations

from enginehouse.api.refusals.problem import Problem, problem_of

__all__ = ["Problem", "problem_of"]
