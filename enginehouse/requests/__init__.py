"""Validation of HTTP requests: reading JSON, numeric ranges, and the wording of errors.

Used by the adapter and the release controller; no web framework is imported here.
"""

from __future__ import annotations

from enginehouse.requests.problem import Problem, problem_of

__all__ = ["Problem", "problem_of"]
