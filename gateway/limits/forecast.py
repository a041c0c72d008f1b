"""Prediction of queue waits from the measured speed of the engine."""

from __future__ import annotations

from dataclasses import dataclass

#: Weight of the newest call; about the last 32 calls count.
_NEWEST = 1 / 32


@dataclass(slots=True)
class Forecast:
    """Exponentially weighted sums over calls.

    It measures tokens per second of an occupied slot, not calls per second: an idle engine must
    not look slow.
    """

    _calls: float = 0.0
    _tokens: float = 0.0
    _slot_s: float = 0.0

    def learn(self, tokens: int, seconds: float, width: int) -> None:
        """Add a call that was expected to take `tokens` and held `width` slots for `seconds`."""
        fade = 1 - _NEWEST
        self._calls = self._calls * fade + 1
        self._tokens = self._tokens * fade + tokens
        self._slot_s = self._slot_s * fade + seconds * width

    def wait_s(self, tokens: float, slots: int) -> float:
        """Time until `slots` busy slots have done `tokens` and one is free; 0 if unknown."""
        if not self._slot_s or not self._tokens:
            return 0.0
        done = tokens * self._slot_s / self._tokens
        return (done + self._slot_s / self._calls) / slots
