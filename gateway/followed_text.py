"""The text of an answer that is followed, and the conversation that it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.call import Routed
from enginehouse.api.generation import TextChunk
from enginehouse.api.treatment import with_prompt


@dataclass(slots=True)
class FollowedText:
    """Gathers an answer on its way to the caller; of several answers the first counts."""

    routed: Routed
    parts: list[str] = field(default_factory=list)
    finish: str | None = None

    def see(self, piece: TextChunk) -> None:
        """Text is on its way to the caller."""
        if piece.index == 0:
            self.parts.append(piece.text)
            self.finish = piece.finish or self.finish

    @property
    def answer(self) -> str:
        """The text up to now."""
        return "".join(self.parts)

    def messages(self) -> list[dict[str, str]]:
        """The conversation as the model was told it; a plain prompt is a user's message."""
        call, treatment = self.routed.call, self.routed.treatment
        messages = with_prompt([_flat(message) for message in call.messages], treatment)
        if messages:
            return messages
        choices = None if call.answered is None else call.answered.choices
        ids = () if choices is None else choices.generations[0].prompt.ids
        prompt = self.routed.route.revision.tokenizer.decode(list(ids))
        return [{"role": "user", "content": prompt}]


def _flat(message: Mapping[str, Any]) -> dict[str, str]:
    """With calls of tools as their JSON: what is kept and compared is text."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in message.items()
    }
