"""The stages that are open, by their place on a call's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from enginehouse.api.call import Attempted, Call, Prepared, Routed, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Proceed, Stage, Watcher

_Stage = TypeVar("_Stage")
_Call = TypeVar("_Call", bound=Call)


class CallTransformer(Protocol):
    """A `Transformer` of calls of either kind."""

    def transform(
        self, call: _Call, proceed: Proceed[_Call], /
    ) -> AbstractAsyncContextManager[AsyncIterator[TextChunk]]:
        """See `Transformer`."""
        ...


class Places(Generic[_Stage]):
    """Stages in their order: the lower the number, the further outside."""

    def __init__(self) -> None:
        self._placed: list[tuple[int, _Stage]] = []

    def add(self, order: int, stage: _Stage) -> None:
        """Put a stage into its place; of one number, the first added stands outside."""
        self._placed.append((order, stage))

    def in_order(self) -> list[_Stage]:
        """The stages, the first outermost."""
        return [stage for _, stage in sorted(self._placed, key=lambda placed: placed[0])]


@dataclass(frozen=True, slots=True)
class OpenedStages:
    """Where a stage can stand, from the outside to the engine.

    Attributes:
        asked: around every call.
        text: around a call that generates text, before it is routed.
        routed: behind the choice of a version.
        counted: the same for a call whose prompt is only counted.
        attempted: around each attempt at an answer, of texts and of vectors.
        prepared: behind the tokenization.
    """

    asked: Places[Watcher[Call] | CallTransformer] = field(default_factory=Places)
    text: Places[Stage[TextCall]] = field(default_factory=Places)
    routed: Places[Stage[Routed]] = field(default_factory=Places)
    counted: Places[Watcher[Routed]] = field(default_factory=Places)
    attempted: Places[Watcher[Attempted]] = field(default_factory=Places)
    prepared: Places[Stage[Prepared]] = field(default_factory=Places)
