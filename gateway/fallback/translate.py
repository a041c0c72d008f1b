"""Between a call and what an OpenAI-compatible provider takes and gives; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.call import CHARACTERS_A_TOKEN, Call
from enginehouse.api.generation import Piece, Usage
from enginehouse.api.schemas import DEFAULT_COMPLETION_TOKENS

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason

#: Endpoint → its path below the provider's base URL.
PATHS = {"chat.completions": "chat/completions", "completions": "completions"}
#: Fields that every such provider has, with the same meaning.
_PORTABLE = {
    "frequency_penalty", "max_completion_tokens", "max_tokens", "n", "presence_penalty",
    "reasoning_effort", "response_format", "seed", "stop", "temperature", "top_p",
}  # fmt: skip
#: Fields that ask for nothing as long as there are no tools.
_IDLE = {"modalities", "parallel_tool_calls", "tool_choice", "tools", "top_logprobs", "verbosity"}
_MESSAGE_KEYS = {"role", "content", "name"}


def hindrance(call: Call) -> str | None:
    """The field for which a provider cannot answer a call; None if it can.

    Pieces carry text and nothing else from outside, so tools, token ids and log-probabilities stay
    with our own models; so do fields that OpenAI's API does not have.
    """
    if call.ask.endpoint not in PATHS:
        return "endpoint"
    identity = call.ask.identity
    if call.tools or (identity.get("tools") and identity.get("tool_choice") != "none"):
        return "tools"
    for name, value in identity.items():
        if name not in _PORTABLE | _IDLE and value is not None and value is not False:
            return name
    if any(message.keys() - _MESSAGE_KEYS for message in call.messages):
        return "messages"
    if any(not isinstance(text, str) for text in call.texts):
        return "prompt"
    return None


def body_of(call: Call, model: str) -> dict[str, Any]:
    """The provider's request; it always streams, so that one way of reading is enough."""
    identity = call.ask.identity
    body = {name: identity[name] for name in sorted(_PORTABLE & identity.keys())}
    body = {name: value for name, value in body.items() if value is not None}
    if call.ask.endpoint == "completions":
        # Not every provider has OpenAI's default.
        body.setdefault("max_tokens", DEFAULT_COMPLETION_TOKENS)
        body["prompt"] = call.texts[0] if len(call.texts) == 1 else call.texts
    else:
        body["messages"] = call.messages
    return {**body, "model": model, "stream": True, "stream_options": {"include_usage": True}}


def guessed_prompt_tokens(call: Call) -> int:
    """Tokens of a prompt, until the provider says how many they are."""
    texts = [str(message.get("content") or "") for message in call.messages]
    texts += [text for text in call.texts if isinstance(text, str)]
    return sum(map(len, texts)) // CHARACTERS_A_TOKEN + 1


def answers_wanted(call: Call) -> int:
    """How many answers the provider is to give."""
    return int(call.ask.identity.get("n") or 1) * max(1, len(call.texts))


@dataclass(slots=True)
class ProviderAnswerReader:
    """Reads the chunks of one response, which carries one answer or several.

    Attributes:
        wanted: how many answers.
        usage: one token a piece, until the provider says how many they are.
    """

    usage: Usage
    wanted: int = 1
    _ended: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether every answer has come to its end."""
        return len(self._ended) >= self.wanted

    def read(self, chunk: Mapping[str, Any]) -> list[Piece]:
        """The pieces in a chunk, possibly none.

        Raises:
            EngineUnavailableError: if it is an error, or no chunk at all.
        """
        if "error" in chunk:
            raise EngineUnavailableError("the provider broke its answer off with an error")
        try:
            pieces = [_piece(choice) for choice in chunk.get("choices") or ()]
            if chunk.get("usage"):
                self.usage = _usage(chunk["usage"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EngineUnavailableError("the provider sent what is no answer") from None
        return [piece for piece in pieces if self._shown(piece)]

    def _shown(self, piece: Piece) -> bool:
        if not piece.text and piece.finish is None:
            return False
        if piece.text:
            self.usage.completion_tokens += 1
        if piece.finish is not None:
            self._ended.add(piece.index)
        return True


def _piece(choice: Mapping[str, Any]) -> Piece:
    text = choice["delta"].get("content") if "delta" in choice else choice["text"]
    finish = choice.get("finish_reason")
    return Piece(
        str(text or ""), finish=None if finish is None else _finish(finish), index=choice["index"]
    )


def _finish(reason: str) -> FinishReason:
    """Providers have reasons of their own; an answer that ended for one of those has ended."""
    known = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
    return next((kind for kind in known if kind == reason), FinishReason.STOP)


def _usage(raw: Mapping[str, Any]) -> Usage:
    return Usage(int(raw["prompt_tokens"]), int(raw["completion_tokens"]))
