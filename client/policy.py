"""Deadlines of a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Time limits of one request, in seconds; None means no limit.

    Attributes:
        total_s: from the call to the last token.
        first_token_s: from the call to the first token.
        between_tokens_s: between two responses; detects a stalled stream.
    """

    total_s: float | None = 600.0
    first_token_s: float | None = 120.0
    between_tokens_s: float | None = 30.0

    def left_s(self, elapsed_s: float) -> float | None:
        """What is left of the whole time; None without a limit."""
        return None if self.total_s is None else max(0.0, self.total_s - elapsed_s)

    def wait_s(self, *, elapsed_s: float, started: bool) -> float | None:
        """Time limit for the next response."""
        step = self.between_tokens_s if started else self.first_token_s
        if not started and step is not None:
            step -= elapsed_s
        limits = [limit for limit in (step, self.left_s(elapsed_s)) if limit is not None]
        return max(0.0, min(limits)) if limits else None
