"""Whether a caller of some time ago may still ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from enginehouse.api.caller import Caller


async def _as_before(caller: Caller) -> Caller:
    return caller


@dataclass(frozen=True, slots=True)
class Vouching:
    """Offered by the stage that checks keys.

    Attributes:
        still: the caller as they may ask now; raises ServingError if they may not any more.
            Without keys they are as they were.
    """

    still: Callable[[Caller], Awaitable[Caller]] = _as_before
