"""The targets of a chain, the reasons for their failures, and their circuit breakers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from enginehouse.api.call import Call, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Proceed
from enginehouse.gateway.fallback.breaker import Breaker, Permit
from enginehouse.gateway.fallback.config import BreakerConfig, Condition
from enginehouse.gateway.fallback.metrics import FallbackMetrics

from enginehouse.errors import (
    ContextOverflowError,
    DeadlineError,
    EngineUnavailableError,
    ForbiddenError,
    ModelNotFoundError,
    QueueFullError,
    RateLimitError,
    ServingError,
)

_CONDITIONS: tuple[tuple[type[ServingError], Condition], ...] = (
    (QueueFullError, Condition.OVERLOAD),
    (EngineUnavailableError, Condition.OUTAGE),
    (DeadlineError, Condition.OUTAGE),
    (ModelNotFoundError, Condition.OUTAGE),
    (ContextOverflowError, Condition.CONTEXT),
    (RateLimitError, Condition.POLICY),
    (ForbiddenError, Condition.POLICY),
)


@dataclass(frozen=True, slots=True)
class FallbackTarget:
    """Who may answer.

    Attributes:
        label: for metrics, notes and its circuit.
        model: what its attempt's call asks for.
        way: to its answer; to a model of ours it goes through the stages behind.
        on: why the one before may be passed over for it; the first needs no reason.
        external: whether a provider answers.
    """

    label: str
    model: str
    way: Callable[
        [TextCall, Proceed[TextCall]], AbstractAsyncContextManager[AsyncIterator[TextChunk]]
    ]
    on: frozenset[Condition] = frozenset()
    first_piece_timeout_s: float | None = None
    external: bool = False


def condition_of(error: ServingError, call: Call) -> Condition | None:
    """Why a target has failed a call; None if another target would not help."""
    if call.remaining_s() == 0:
        return None
    return next((why for kind, why in _CONDITIONS if isinstance(error, kind)), None)


def blamed(target: FallbackTarget, error: ServingError, call: Call) -> bool | None:
    """Whether a failure speaks against its target; None if it says nothing of it.

    Our own full queue rejects calls immediately and may have room a moment later, so it does not
    count. A provider's rate limit counts.
    """
    if call.remaining_s() == 0:
        return None
    if isinstance(error, EngineUnavailableError | DeadlineError):
        return True
    return True if target.external and isinstance(error, QueueFullError) else None


class Circuits:
    """The circuit breakers of all targets."""

    def __init__(
        self,
        config: BreakerConfig,
        metrics: FallbackMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def permit(self, target: FallbackTarget) -> Permit | None:
        """Leave to ask a target; None if it is left alone."""
        permit = self._breaker(target).permit(self._clock())
        self._show(target)
        return permit

    def settle(self, target: FallbackTarget, permit: Permit | None, *, failed: bool | None) -> None:
        """What came of it; see `Breaker.settle`. One who was asked without leave has none."""
        if permit is not None:
            self._breaker(target).settle(permit, self._clock(), failed=failed)
            self._show(target)

    def broke(self, target: FallbackTarget) -> None:
        """See `Breaker.broke`."""
        self._breaker(target).broke(self._clock())
        self._show(target)

    def _breaker(self, target: FallbackTarget) -> Breaker:
        return self._breakers.setdefault(target.label, Breaker(self._config))

    def _show(self, target: FallbackTarget) -> None:
        self._metrics.circuit(target.label, self._breaker(target).state(self._clock()))
