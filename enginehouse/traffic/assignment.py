"""Deterministic assignment by hash: the same in every adapter and after every restart."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

BUCKETS = 10_000
_T = TypeVar("_T")


def bucket(salt: str, unit: str) -> int:
    """A number from 0 to `BUCKETS` - 1, uniform over units, independent between salts."""
    digest = blake2b(unit.encode(), key=blake2b(salt.encode()).digest(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def assign(choices: Sequence[tuple[_T, float]], place: float) -> _T:
    """The choice at `place` (0 up to 1) on a line divided by the weights.

    Order matters: units of the first choice keep it while its weight grows.

    Raises:
        ValueError: if no weight is above 0.
    """
    total = sum(weight for _, weight in choices)
    if total <= 0:
        raise ValueError("no choice has a weight above 0")
    edge = 0.0
    chosen = choices[0][0]
    for value, weight in choices:
        if weight <= 0:
            continue
        chosen = value
        edge += weight / total
        if place < edge:
            break
    return chosen
