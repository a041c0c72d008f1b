"""The targets of a chain, the reasons for their failures, and their circuit breakers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
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
    """One target of a chain.

    Attributes:
        label: name in metrics, notes and circuits.
        model: model that the attempt requests.
        pieces: starts the answer; a model of ours calls the stages behind this one.
        on: failures of the previous target for which this one is tried; empty for the first.
        external: whether it is a provider.
    """

    label: str
    model: str
    pieces: Callable[[Call, Proceed], AsyncGenerator[Piece, None]]
    on: frozenset[Condition] = frozenset()
    first_piece_timeout_s: float | None = None
    external: bool = False


def condition_of(error: ServingError, call: Call) -> Condition | None:
    """Why a target has failed a call; None if another target would not help."""
    if call.remaining_s() == 0:
        return None
    return next((why for kind, why in _CONDITIONS if isinstance(error, kind)), None)


def blamed(target: FallbackTarget, error: ServingError, call: Call) -> bool | None:
    """Whether a failure counts against its target's circuit; None if it says nothing about it.

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
        """Permission to call a target; None while its circuit is open."""
        permit = self._breaker(target).permit(self._clock())
        self._show(target)
        return permit

    def settle(self, target: FallbackTarget, permit: Permit | None, *, failed: bool | None) -> None:
        """Record a result; see `Breaker.settle`. A call without permission is not recorded."""
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
