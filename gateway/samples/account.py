"""Metrics and sample of one attempt at a request."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from enginehouse.api.generation import Generation, Piece
from enginehouse.api.metrics import ApiMetrics
from enginehouse.gateway.samples.ring import (
    CLIENT_GONE,
    HEAD_CHARACTERS,
    SampleRing,
    is_refusal,
    outcome_of,
)
from enginehouse.gateway.shadow.aside import RequestFollower

from enginehouse.errors import EnginehouseError, RequestCancelledError
from enginehouse.http_errors import status_of
from enginehouse.traffic import RequestSample

OK = "200"
UNEXPECTED = "500"
TENANT_HEADER = "x-enginehouse-tenant"


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """What is known of a request before it is answered; fields as in `RequestSample`.

    Attributes:
        prefix: prefix of the response's id, ``prefix-…``.
    """

    model: str
    version: int
    endpoint: str
    prefix: str
    tenant: str | None = None
    pinned: bool = False
    rollout: str | None = None
    generation: int = 0
    experiment: str | None = None
    arm: str | None = None


def code_of(error: EnginehouseError) -> str:
    """The status of an error in metrics and samples."""
    return (
        CLIENT_GONE if isinstance(error, RequestCancelledError) else str(status_of(error)[0].value)
    )


@dataclass(slots=True)
class Account:
    """Observes one attempt from its route to its end.

    Attributes:
        generations: the answers that it runs, once they are known.
        prompt_tokens: used if there are no generations.
        follower: observer of the answer beside the request, or None.
    """

    origin: RequestOrigin
    metrics: ApiMetrics
    ring: SampleRing
    request_id: str = ""
    generations: Sequence[Generation] = ()
    prompt_tokens: int = 0
    follower: RequestFollower | None = None
    _began: float = field(init=False)
    _head: str = ""
    _visible: bool = False
    _finish: str | None = None

    def __post_init__(self) -> None:
        self.request_id = self.request_id or f"{self.origin.prefix}-{uuid.uuid4().hex}"
        self._began = time.perf_counter()

    def see(self, piece: Piece) -> None:
        """Observe a chunk that is sent to the caller."""
        if self.follower is not None:
            self.follower.see(piece)
        if piece.text:
            self._visible = self._visible or not piece.text.isspace()
            if piece.index == 0 and len(self._head) < HEAD_CHARACTERS:
                self._head += piece.text
        if piece.index == 0 and piece.finish is not None:
            self._finish = piece.finish

    def close(self, code: str, *, version: int | None = None) -> None:
        """Record the end of the attempt.

        Args:
            version: version that answered, if it was not known before.
        """
        origin = self.origin
        served_by = version or origin.version
        labels = (origin.model, str(served_by), origin.endpoint, code)
        self.metrics.requests.labels(*labels).inc()
        text = bool(self.generations) and code == OK
        usages = [generation.usage for generation in self.generations]
        sample = RequestSample(
            at=time.time(),
            request_id=self.request_id,
            model=origin.model,
            version=served_by,
            rollout=origin.rollout,
            generation=origin.generation,
            pinned=origin.pinned,
            endpoint=origin.endpoint,
            outcome=outcome_of(code),
            code=code,
            ttft_s=_first(g.times.first_s for g in self.generations),
            inter_token_s=_mean(g.times.inter_token_s for g in self.generations),
            total_s=time.perf_counter() - self._began,
            prompt_tokens=usages[0].prompt_tokens if usages else self.prompt_tokens,
            completion_tokens=sum(usage.completion_tokens for usage in usages),
            finish=self._finish,
            empty=text and not self._visible,
            refusal=text and is_refusal(self._head),
            tenant=origin.tenant,
            experiment=origin.experiment,
            arm=origin.arm,
        )
        self.ring.add(sample)
        if self.follower is not None:
            self.follower.end(sample)


def _first(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
