"""Translates calls to requests of an OpenAI-compatible provider, and its chunks to ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.call import CHARACTERS_A_TOKEN, Call
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.schemas import DEFAULT_COMPLETION_TOKENS

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason

#: Endpoint → its path below the provider's base URL.
PATHS = {"chat.completions": "chat/completions", "completions": "completions"}
#: Fields with the same meaning in every OpenAI-compatible API.
_PORTABLE = {
    "frequency_penalty", "max_completion_tokens", "max_tokens", "n", "presence_penalty",
    "reasoning_effort", "response_format", "seed", "stop", "temperature", "top_p",
}  # fmt: skip
#: Fields that have no effect without tools.
_IDLE = {"modalities", "parallel_tool_calls", "tool_choice", "tools", "top_logprobs", "verbosity"}
_MESSAGE_KEYS = {"role", "content", "name"}


def hindrance(call: Call) -> str | None:
    """The field because of which a provider cannot answer a call; None if it can.

    Chunks from providers carry only text. Calls with tools, token ids or log-probabilities, and
    calls
    with fields that OpenAI's API lacks, therefore stay with our own models.
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
    """The request to the provider. It always streams, so that one reader is enough."""
    identity = call.ask.identity
    body = {name: identity[name] for name in sorted(_PORTABLE & identity.keys())}
    body = {name: value for name, value in body.items() if value is not None}
    if call.ask.endpoint == "completions":
        # The default of OpenAI's API is not the default of every provider.
        body.setdefault("max_tokens", DEFAULT_COMPLETION_TOKENS)
        body["prompt"] = call.texts[0] if len(call.texts) == 1 else call.texts
    else:
        body["messages"] = call.messages
    return {**body, "model": model, "stream": True, "stream_options": {"include_usage": True}}


def guessed_prompt_tokens(call: Call) -> int:
    """Estimated prompt tokens, used until the provider reports the number."""
    texts = [str(message.get("content") or "") for message in call.messages]
    texts += [text for text in call.texts if isinstance(text, str)]
    return sum(map(len, texts)) // CHARACTERS_A_TOKEN + 1


def answers_wanted(call: Call) -> int:
    """Number of answers requested from the provider."""
    return int(call.ask.identity.get("n") or 1) * max(1, len(call.texts))


@dataclass(slots=True)
class ProviderAnswerReader:
    """Reads the chunks of one response with one or several answers.

    Attributes:
        wanted: number of answers.
        usage: counts one token for each chunk, until the provider reports the number.
    """

    usage: Usage
    wanted: int = 1
    _ended: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        """Whether every answer has ended."""
        return len(self._ended) >= self.wanted

    def read(self, chunk: Mapping[str, Any]) -> list[TextChunk]:
        """The text chunks in a provider's chunk, possibly none.

        Raises:
            EngineUnavailableError: if it is an error, or not a chunk.
        """
        if "error" in chunk:
            raise EngineUnavailableError("the provider broke its answer off with an error")
        try:
            pieces = [_piece(choice) for choice in chunk.get("choices") or ()]
            if chunk.get("usage"):
                self.usage = _usage(chunk["usage"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise EngineUnavailableError(
                "the provider sent something that is not an answer"
            ) from None
        return [piece for piece in pieces if self._shown(piece)]

    def _shown(self, piece: TextChunk) -> bool:
        if not piece.text and piece.finish is None:
            return False
        if piece.text:
            self.usage.completion_tokens += 1
        if piece.finish is not None:
            self._ended.add(piece.index)
        return True


def _piece(choice: Mapping[str, Any]) -> TextChunk:
    text = choice["delta"].get("content") if "delta" in choice else choice["text"]
    finish = choice.get("finish_reason")
    return TextChunk(
        str(text or ""), finish=None if finish is None else _finish(finish), index=choice["index"]
    )


def _finish(reason: str) -> FinishReason:
    """Unknown finish reasons are treated as a normal end."""
    known = {FinishReason.LENGTH, FinishReason.CONTENT_FILTER}
    return next((kind for kind in known if kind == reason), FinishReason.STOP)


def _usage(raw: Mapping[str, Any]) -> Usage:
    return Usage(int(raw["prompt_tokens"]), int(raw["completion_tokens"]))
