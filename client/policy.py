"""Deadlines and retries."""

from __future__ import annotations

import random
from collections.abc import Iterator
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

    def wait_s(self, *, elapsed_s: float, started: bool) -> float | None:
        """Time limit for the next response."""
        step = self.between_tokens_s if started else self.first_token_s
        if not started and step is not None:
            step -= elapsed_s
        rest = None if self.total_s is None else self.total_s - elapsed_s
        limits = [limit for limit in (step, rest) if limit is not None]
        return max(0.0, min(limits)) if limits else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retries of a request that has received nothing, with exponential backoff and full jitter."""

    attempts: int = 3
    base_s: float = 0.1
    most_s: float = 2.0

    def pauses_s(self) -> Iterator[float]:
        """One pause for each attempt after the first."""
        for attempt in range(self.attempts - 1):
            # Jitter only spreads retries; it needs no cryptographic randomness.
            yield random.uniform(0, min(self.most_s, self.base_s * 2**attempt))  # noqa: S311
