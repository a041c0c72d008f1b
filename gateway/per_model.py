"""What the stage that knows models' settings offers to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _none(_: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class SystemPrompts:
    """The system prompt that is set for a model: ``prompts:/NAME/3``, ``prompts:/NAME@ALIAS``.

    Attributes:
        of: model, as a call names it → its prompt, or None.
    """

    of: Callable[[str], str | None] = _none
