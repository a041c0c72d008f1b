"""A message as server-sent events, each under its type's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from enginehouse.api.begun import Begun
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.service_tier import served_tier
from enginehouse.gateway.messages.asking import ended_by_context
from enginehouse.gateway.messages.errors import stream_error
from enginehouse.gateway.messages.events import MessageEnding, MessageWriter

from enginehouse.errors import EnginehouseError

_Event = Mapping[str, Any]


def _joined(events: Iterable[_Event]) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))
        for event in events
    )


class MessageEvents:
    """A streamed message; see `EventWriter`."""

    def __init__(self, begun: Begun, most_tokens: int) -> None:
        """`most_tokens`: that the caller asked for at most."""
        self._begun = begun
        self._most_tokens = most_tokens
        self._shape = begun.shape()
        self._stop: str | None = None
        # The answer's first tokens are there, and none of them is out.
        usage = Usage(begun.answered.usage.prompt_tokens)
        self._writer = MessageWriter(
            begun.call.id, begun.answered.served_by.model, self._usage(usage)
        )

    @property
    def message(self) -> dict[str, Any]:
        """The message with what has been written up to now."""
        return self._writer.message

    def opening(self) -> bytes:
        """The beginning of the message."""
        return _joined(self._writer.begin())

    def events(self, piece: TextChunk) -> bytes:
        """What a chunk adds to the message's blocks."""
        return _joined(self.add(piece))

    def add(self, piece: TextChunk) -> list[_Event]:
        """Add a chunk to the message; the events that tell of it."""
        self._stop = piece.stop or self._stop
        choices = self._shape.delta(piece)
        return [event for one in choices for event in self._writer.choice(one)]

    def last(self) -> bytes | None:
        """Not known: the usage is complete behind all stages."""
        return None

    def finish(self) -> list[_Event]:
        """The end of the message."""
        context = ended_by_context(self._begun.answered, self._most_tokens)
        ending = MessageEnding(self._stop, context=context)
        return list(self._writer.finish(ending, self._usage(self._begun.answered.usage)))

    async def ending(self, error: EnginehouseError | None) -> bytes:
        """The end of the message; an error is an event, and nothing follows it."""
        if error is not None:
            return _joined([stream_error(error, self._begun.call.request_id)])
        return _joined(self.finish())

    def _usage(self, usage: Usage) -> dict[str, Any]:
        """`usage` in this API's words: cached tokens of the prompt are no input tokens there."""
        priority = served_tier(self._begun.call) == "priority"
        return {
            "input_tokens": usage.prompt_tokens - usage.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached_tokens,
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
            "service_tier": "priority" if priority else "standard",
        }
