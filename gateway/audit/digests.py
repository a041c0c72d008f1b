"""What a record contains of prompts and answers: nothing, a keyed digest, or the texts."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.gateway.audit.config import AuditContent


@dataclass(frozen=True, slots=True)
class AuditTexts:
    """Prompt and answers of a call.

    Attributes:
        messages: messages of a conversation, as given to the model.
        inputs: prompts of a completion, inputs of an embedding; token ids are kept as ids.
        answers: chunks of the text of each answer that was sent, by its index.
    """

    messages: Sequence[Mapping[str, Any]]
    inputs: Sequence[str | list[int]]
    answers: Mapping[int, Sequence[str]]

    @property
    def size_bytes(self) -> int:
        """Approximate memory of the texts."""
        sizes = [len(part) for parts in self.answers.values() for part in parts]
        sizes += [len(text) for text in self.inputs]
        sizes += [len(str(message.get("content") or "")) for message in self.messages]
        return sum(sizes)

    def prompt(self) -> Any:
        """A JSON value: the messages, or the inputs."""
        return list(self.messages) or list(self.inputs)

    def answer(self) -> list[str]:
        """Complete texts, ordered by index."""
        return ["".join(self.answers[index]) for index in sorted(self.answers)]


def said(texts: AuditTexts, content: AuditContent, key: bytes) -> dict[str, Any]:
    """The fields of a record about its texts."""
    match content:
        case AuditContent.NONE:
            return {}
        case AuditContent.DIGEST:
            return {
                "prompt_digest": digest(texts.prompt(), key),
                "answer_digest": digest(texts.answer(), key),
            }
        case AuditContent.TEXT:
            return {"prompt": texts.prompt(), "answer": texts.answer()}


def digest(value: Any, key: bytes) -> str:
    """HMAC-SHA256 of a JSON value, serialized without spaces, with sorted keys, in ASCII."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, default=str)
    return hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()
