"""Follows requests that are to be copied to a shadow version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from enginehouse.api.call import Attempted, Routed
from enginehouse.api.generation import Generation, TextChunk
from enginehouse.api.revision import Revision, Served
from enginehouse.gateway.followed_text import FollowedText
from enginehouse.gateway.shadow.shadow import SHADOW_PRIORITY, OriginalAnswer, Shadow
from enginehouse.gateway.shadow.shadow_copy import Start

from enginehouse.traffic import Outcome, RequestSample, Routes, ShadowRoute


class ShadowDirectory(Protocol):
    """What is needed of `ModelDirectory`."""

    def revisions(self, model: str) -> Mapping[int, Served]:
        """Versions that can be spoken to."""
        ...

    def ready(self, model: str) -> frozenset[int]:
        """Those of them that are ready somewhere."""
        ...

    def routes(self, model: str) -> Routes | None:
        """The controller's routes."""
        ...


@dataclass(frozen=True, slots=True)
class ShadowObserver:
    """Decides by the routes and by chance; see `Observer`."""

    directory: ShadowDirectory
    shadow: Shadow

    def begin(self, attempt: Attempted) -> _Followed | None:
        """An attempt is about to be made; None if it is not copied."""
        if not isinstance(attempt, Routed) or attempt.pinned:
            return None
        route = self.shadow.wanted(self.directory.routes(attempt.model), attempt.version)
        return None if route is None else _Followed(self, route, FollowedText(attempt))

    def copier(self, routed: Routed, shadow: ShadowRoute) -> Start | None:
        """How the shadow version is asked; None if it cannot be."""
        route, model = routed.route, routed.model
        revision = self.directory.revisions(model).get(shadow.version)
        if shadow.version not in self.directory.ready(model) or not isinstance(revision, Revision):
            return None
        if route.adapter is not None and route.adapter not in revision.adapters:
            return None
        copy = Routed(routed.call, replace(route, revision=revision, priority=SHADOW_PRIORITY))

        async def start(request_id: str) -> Generation:
            choices = await copy.call.form.choices(copy)
            return choices.renamed(request_id).generations[0]

        return start


@dataclass(frozen=True, slots=True)
class _Followed:
    observer: ShadowObserver
    shadow: ShadowRoute
    text: FollowedText

    def see(self, piece: TextChunk) -> None:
        self.text.see(piece)

    def end(self, sample: RequestSample) -> None:
        if sample.outcome is not Outcome.OK:
            return
        prompt = "\n".join(f"{m['role']}: {m['content']}" for m in self.text.messages())
        original = OriginalAnswer(sample, prompt, self.text.answer, self.text.finish)
        copier = self.observer.copier(self.text.routed, self.shadow)
        self.observer.shadow.copy(self.shadow, original, copier)
