"""Follows a sample of the requests, and has each written as a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.api.call import Attempted, Routed
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.followed_text import FollowedText
from enginehouse.registry.quality.traces import TraceRecord, TraceWriter

from enginehouse.traffic import Outcome, RequestSample


@dataclass(frozen=True, slots=True)
class Traces:
    """Decides by chance; see `Observer`."""

    writer: TraceWriter

    def begin(self, attempt: Attempted) -> _Followed | None:
        """An attempt is about to be made; None if it is not traced."""
        if not isinstance(attempt, Routed) or not self.writer.wanted():
            return None
        return _Followed(self.writer, FollowedText(attempt))


@dataclass(frozen=True, slots=True)
class _Followed:
    writer: TraceWriter
    text: FollowedText

    def see(self, piece: TextChunk) -> None:
        self.text.see(piece)

    def end(self, sample: RequestSample) -> None:
        if sample.outcome is Outcome.OK:
            text = self.text
            self.writer.offer(_record(sample, text.messages(), text.answer, text.finish))


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
