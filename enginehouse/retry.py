"""When failed work is tried again: growing pauses, spread by chance, within the time there is.

The longest pause doubles with each failure up to a bound. The pause is a random part of it, so that
many who failed together do not come back together ("full jitter":
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

#: Doublings beyond this change nothing: any bound has been reached.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon failed work is tried again.

    Attributes:
        attempts: attempts in all; 1 means no retry, None means without end.
        base_s: longest pause after the first failure, in seconds; it doubles with each failure.
        most_s: longest pause, in seconds.
        jitter: whether a pause is a random part of the longest one, or all of it.
    """

    attempts: int | None = 3
    base_s: float = 0.1
    most_s: float = 2.0
    jitter: bool = True

    def longest_s(self, failures: int) -> float:
        """The longest pause after so many failures in a row (1 or more), in seconds."""
        return float(min(self.most_s, self.base_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)))

    def retries(self, chance: Callable[[], float] = random.random) -> Retries:
        """The retries of one piece of work.

        Args:
            chance: gives random numbers from 0 to 1.
        """
        return Retries(self, chance)


class Retries:
    """The failures of one piece of work so far, and what follows from them."""

    def __init__(self, policy: RetryPolicy, chance: Callable[[], float]) -> None:
        """See `RetryPolicy.retries`."""
        self._policy = policy
        self._chance = chance
        self._failures = 0

    def pause_s(self, *, after_s: float = 0.0, left_s: float | None = None) -> float | None:
        """Count a failure; returns the pause before the next attempt, in seconds.

        None means that there is none.

        Args:
            after_s: the pause that the other side asks for (``Retry-After``), in seconds. If it is
                longer than the policy's longest, there is no other attempt.
            left_s: time that the work has left, in seconds; None means no limit. An attempt that
                could only begin when it is over is not made.
        """
        policy = self._policy
        self._failures += 1
        spent = policy.attempts is not None and self._failures >= policy.attempts
        if spent or after_s > policy.most_s:
            return None
        pause_s = policy.longest_s(self._failures) * (self._chance() if policy.jitter else 1.0)
        pause_s = max(pause_s, after_s)
        return None if left_s is not None and pause_s >= left_s else pause_s
