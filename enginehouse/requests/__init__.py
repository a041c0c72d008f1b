"""Requests of HTTP callers: how JSON is read, which numbers fit, and how a refusal is worded.

Both HTTP servers use it, the adapter and the release controller; no web framework is imported here.
"""

from __future__ import annotations

from enginehouse.requests.problem import Problem, problem_of

__all__ = ["Problem", "problem_of"]
