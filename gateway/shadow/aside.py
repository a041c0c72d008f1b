"""Observes requests for exposures, shadow copies and traces, without delaying them."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from enginehouse.api.exposure import ExposureLog, with_prompt
from enginehouse.api.revision import Revision, Served
from enginehouse.api.routing import Route
from enginehouse.gateway.shadow.shadow import SHADOW_PRIORITY, OriginalAnswer, Shadow
from enginehouse.gateway.shadow.shadow_copy import RunningCopy, Start
from enginehouse.registry.quality.traces import TraceRecord, TraceWriter

from enginehouse.traffic import Outcome, RequestSample, Routes, ShadowRoute

_log = logging.getLogger(__name__)


class ServingDirectory(Protocol):
    """The part of `ModelDirectory` that is used here."""

    def revisions(self, model: str) -> Mapping[int, Served]:
        """Versions that can be called."""
        ...

    def ready(self, model: str) -> frozenset[int]:
        """Those of them that are ready on some replica."""
        ...

    def routes(self, model: str) -> Routes | None:
        """The controller's routes."""
        ...


class ObservedChunk(Protocol):
    """A chunk of an answer; see `enginehouse.api.generation.Piece`."""

    @property
    def text(self) -> str:
        """Final text."""
        ...

    @property
    def finish(self) -> str | None:
        """Why the answer ended, in its last chunk."""
        ...

    @property
    def index(self) -> int:
        """Index of the answer, if there are several."""
        ...


@dataclass(frozen=True, slots=True)
class ObservedRequest:
    """A request, as far as it is observed.

    Attributes:
        messages: messages of the caller; empty for an endpoint without messages.
        prompt_ids: token ids of the prompt, once it has been answered.
        start: a route and a request id → the first of its answers, started.
    """

    messages: Sequence[Mapping[str, str]]
    prompt_ids: Callable[[], Sequence[int]]
    start: Callable[[Route, str], Awaitable[RunningCopy]]


class Aside:
    """Decides what is recorded of a request, and does it after the answer."""

    def __init__(
        self,
        directory: ServingDirectory,
        shadow: Shadow,
        exposures: ExposureLog,
        traces: TraceWriter,
    ) -> None:
        self._directory = directory
        self._shadow = shadow
        self._exposures = exposures
        self._traces = traces

    def begin(
        self, route: Route, request_id: str, asked: ObservedRequest
    ) -> RequestFollower | None:
        """Start observing a request; None if nothing of it is recorded.

        It raises no error: failures are logged.
        """
        model, version = route.revision.target.model, route.revision.version
        try:
            if route.treatment is not None:
                self._exposures.exposed(route.treatment, request_id, model, version)
            routes = None if route.pinned else self._directory.routes(model)
            shadow = self._shadow.wanted(routes, version)
            traced = self._traces.wanted()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("a request is not followed")
            return None
        if route.treatment is None and shadow is None and not traced:
            return None
        return RequestFollower(self, route, asked, shadow, traced)

    def ended(self, follower: RequestFollower, sample: RequestSample) -> None:
        """Record the end of a request; raises no error."""
        try:
            self._ended(follower, sample)
        except Exception:  # noqa: BLE001 - see `begin`
            _log.exception("a request was not followed to its end")

    def _ended(self, follower: RequestFollower, sample: RequestSample) -> None:
        route, asked = follower.route, follower.asked
        if route.treatment is not None:
            self._exposures.ended(sample)
        if sample.outcome is not Outcome.OK or not follower.keeps_text:
            return
        messages = with_prompt([_flat(m) for m in asked.messages], route.treatment)
        if not messages:
            prompt = route.revision.tokenizer.decode(asked.prompt_ids())
            messages = [{"role": "user", "content": prompt}]
        answer, finish = "".join(follower.parts), follower.finish
        if follower.shadow is not None:
            prompt = "\n".join(f"{m['role']}: {m['content']}" for m in messages)
            original = OriginalAnswer(sample, prompt, answer, finish)
            self._shadow.copy(follower.shadow, original, self._copier(follower))
        if follower.traced:
            self._traces.offer(_record(sample, messages, answer, finish))

    def _copier(self, follower: RequestFollower) -> Start | None:
        """A function that asks the shadow version; None if it cannot be asked."""
        assert follower.shadow is not None  # noqa: S101 - its caller looked
        route, version = follower.route, follower.shadow.version
        model = route.revision.target.model
        revision = self._directory.revisions(model).get(version)
        if version not in self._directory.ready(model) or not isinstance(revision, Revision):
            return None
        if route.adapter is not None and route.adapter not in revision.adapters:
            return None
        copy = replace(route, revision=revision, priority=SHADOW_PRIORITY)
        return lambda request_id: follower.asked.start(copy, request_id)


@dataclass(slots=True)
class RequestFollower:
    """Observer of one request."""

    aside: Aside
    route: Route
    asked: ObservedRequest
    shadow: ShadowRoute | None
    traced: bool
    parts: list[str] = field(default_factory=list)
    finish: str | None = None

    @property
    def keeps_text(self) -> bool:
        """Whether the answer's text is needed."""
        return self.shadow is not None or self.traced

    def see(self, piece: ObservedChunk) -> None:
        """Observe a chunk that is sent to the caller; of several answers only the first is kept."""
        if self.keeps_text and piece.index == 0:
            self.parts.append(piece.text)
            self.finish = piece.finish or self.finish

    def end(self, sample: RequestSample) -> None:
        """Record the end of the request; raises no error."""
        self.aside.ended(self, sample)


def _flat(message: Mapping[str, Any]) -> dict[str, str]:
    """A message as text, with tool calls as JSON, because only text is stored and compared."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in message.items()
    }


def _record(
    sample: RequestSample, messages: Sequence[dict[str, str]], answer: str, finish: str | None
) -> TraceRecord:
    total_s = sample.total_s or 0.0
    return TraceRecord(
        at=sample.at - total_s,
        request_id=sample.request_id,
        model=sample.model,
        version=sample.version,
        messages=tuple(messages),
        answer=answer,
        finish=finish,
        prompt_tokens=sample.prompt_tokens,
        completion_tokens=sample.completion_tokens,
        total_s=total_s,
    )
