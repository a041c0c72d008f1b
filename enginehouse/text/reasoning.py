"""Reasoning that a model writes before its answer, between ``<think>`` and ``</think>``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from enginehouse.text import ChatTemplate

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Thought:
    """Text of the reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """Text of the answer."""

    text: str


class _Part(Enum):
    BEFORE = auto()
    INSIDE = auto()
    AFTER = auto()
    ANSWER = auto()


class ReasoningSplitter:
    """Splits one answer as it comes; white space around the marks belongs to neither part.

    Only what the answer begins with is reasoning: a mark further behind is text.
    """

    def __init__(self, *, opened: bool = False) -> None:
        """`opened`: the prompt has ended with the opening mark already."""
        self._part = _Part.INSIDE if opened else _Part.BEFORE
        self._held = ""
        self._begun = False

    @property
    def thinking(self) -> bool:
        """Whether the text so far ends in the reasoning."""
        return self._part is _Part.INSIDE

    def push(self, text: str) -> list[Thought | Said]:
        """What has become certain; what may be a mark is held back."""
        self._held += text
        return self._split(ended=False)

    def finish(self) -> list[Thought | Said]:
        """What was held back."""
        return self._split(ended=True)

    def _split(self, *, ended: bool) -> list[Thought | Said]:
        found: list[Thought | Said] = []
        if self._part is _Part.BEFORE:
            self._look_for_the_opening(ended=ended)
        if self._part is _Part.INSIDE and (thought := self._thought(ended=ended)):
            found.append(Thought(thought))
        if self._part is _Part.AFTER:
            self._held = self._held.lstrip()
            if self._held:
                self._part = _Part.ANSWER
        if self._part is _Part.ANSWER and self._held:
            found.append(Said(self._held))
            self._held = ""
        return found

    def _look_for_the_opening(self, *, ended: bool) -> None:
        start = self._held.lstrip()
        if start.startswith(_OPEN):
            self._held, self._part = start[len(_OPEN) :], _Part.INSIDE
        elif ended or not _OPEN.startswith(start):
            self._part = _Part.ANSWER

    def _thought(self, *, ended: bool) -> str:
        if not self._begun:
            self._held = self._held.lstrip()
        end = self._held.find(_CLOSE)
        if end >= 0:
            thought, self._held = self._held[:end].rstrip(), self._held[end + len(_CLOSE) :]
            self._part = _Part.AFTER
        elif ended:
            thought, self._held = self._held.rstrip(), ""
        else:
            safe = len(self._held[: len(self._held) - _open_end(self._held)].rstrip())
            thought, self._held = self._held[:safe], self._held[safe:]
        self._begun = self._begun or bool(thought)
        return thought


def _open_end(text: str) -> int:
    """Length of the longest end of `text` that begins the closing mark."""
    for length in range(min(len(text), len(_CLOSE) - 1), 0, -1):
        if _CLOSE.startswith(text[-length:]):
            return length
    return 0


def splitter_of(
    template: ChatTemplate, variables: Mapping[str, Any] | None = None
) -> ReasoningSplitter | None:
    """A splitter for answers of this template's model; None if it marks no reasoning.

    Args:
        variables: what the template is given beside the conversation.
    """
    if _CLOSE not in template.source and _OPEN not in template.source:
        return None
    prompt = template.short_prompt(variables) if variables else template.generation_prompt
    return ReasoningSplitter(opened=prompt.rstrip().endswith(_OPEN))


def splitter_behind(text: str) -> ReasoningSplitter | None:
    """A splitter for an answer that goes on behind a text; None if that is not reasoning."""
    opened = text.rfind(_OPEN) > text.rfind(_CLOSE)
    return ReasoningSplitter(opened=True) if opened else None
