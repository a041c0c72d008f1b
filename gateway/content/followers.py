"""Output filters: each follows one answer, chunk by chunk.

A follower receives chunks and returns chunks. It receives none after one with `finish`, and the
last one that it returns has `finish`. A follower that blocks returns that one earlier, with the
reason ``content_filter``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from enginehouse.api.generation import TextChunk
from enginehouse.gateway.content.filters import JudgeFilter, SpanFilter
from enginehouse.gateway.content.placeholders import PlaceholderNumbers
from enginehouse.gateway.content.scanner import Scanner, Segment
from enginehouse.gateway.content.verdicts import Action, ContentSide, VerdictRecorder

from enginehouse.generation import FinishReason

#: Whether the tokens of a chunk decode to exactly the chunk's text.
TellsItsText = Callable[[TextChunk], bool]


class AnswerFollower(Protocol):
    """A filter that follows one answer."""

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """The next chunk of the answer → chunks that can be sent now."""
        ...


def blocked(index: int) -> TextChunk:
    """The last chunk of an answer that a rule has blocked."""
    return TextChunk("", finish=FinishReason.CONTENT_FILTER, index=index)


@dataclass(slots=True)
class _Source:
    """A chunk that was received and is not completely sent.

    Attributes:
        left: characters of its text that are undecided.
        text: decided text of it that is not sent yet.
        details: whether its tokens may be sent with it.
    """

    piece: TextChunk
    left: int
    details: bool
    text: str = ""

    def written(self) -> TextChunk:
        if self.details:
            if self.text == self.piece.text:
                return self.piece
            return replace(self.piece, text=self.text)
        return TextChunk(
            self.text, finish=self.piece.finish, index=self.piece.index, stop=self.piece.stop
        )


class SpanFollower:
    """Replaces matches, or ends the answer before the first match.

    Tokens and log-probabilities are sent with the last part of their chunk, and only if its text is
    unchanged and they decode to that text. Otherwise they would reveal what was redacted.
    """

    def __init__(
        self,
        item: SpanFilter,
        hold_back: int,
        numbers: PlaceholderNumbers,
        tells: TellsItsText,
        verdicts: VerdictRecorder | None,
    ) -> None:
        self._item = item
        self._scanner = Scanner(item.rules, hold_back)
        self._numbers = numbers
        self._tells = tells
        self._verdicts = verdicts
        self._sources: deque[_Source] = deque()
        self._silent = TextChunk("")

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """See `AnswerFollower`."""
        piece = _joined(self._silent, piece)
        last = piece.finish is not None
        if not piece.text and not last:
            # The text of these tokens comes with a later chunk, and may have to be redacted.
            self._silent = piece
            return []
        self._silent = TextChunk("")
        details = not piece.token_ids or self._tells(piece)
        scan = self._scanner.finish if last else self._scanner.push
        segments = scan(piece.text)
        if details and not self._sources and _is_all(segments, piece.text):
            return [piece]
        self._sources.append(_Source(piece, len(piece.text), details))
        out: list[TextChunk] = []
        for segment in segments:
            if segment.rule is not None and self._item.action is Action.BLOCK:
                self._note(segment)
                return [*out, *self._begun(), blocked(piece.index)]
            out += self._decided(segment)
        out += self._begun()
        if last:
            out += [source.written() for source in self._sources]
        return out

    def _decided(self, segment: Segment) -> list[TextChunk]:
        """Chunks that are completely decided after one more segment."""
        out: list[TextChunk] = []
        left, offset = len(segment.text), 0
        new = None if segment.rule is None else self._replaced(segment)
        while left:
            source = self._sources[0]
            taken = min(left, source.left)
            if new is None:
                source.text += segment.text[offset : offset + taken]
            else:
                source.details = False
                source.text += new
                new = ""
            source.left -= taken
            left, offset = left - taken, offset + taken
            if not source.left and source.piece.finish is None:
                written = self._sources.popleft().written()
                out += [written] if written.text or written.token_ids else []
        return out

    def _begun(self) -> list[TextChunk]:
        """The part that can be sent of a chunk that is partly decided."""
        if not self._sources or not self._sources[0].text:
            return []
        source = self._sources[0]
        if not source.left:
            return []
        text, source.text = source.text, ""
        return [TextChunk(text, index=source.piece.index)]

    def _replaced(self, segment: Segment) -> str:
        assert segment.rule is not None  # noqa: S101 - the caller looks
        self._note(segment)
        return self._item.replace(segment.rule.label, segment.text, self._numbers)

    def _note(self, segment: Segment) -> None:
        if self._verdicts is not None and segment.rule is not None:
            label = self._item.label(segment.rule)
            self._verdicts.found(ContentSide.OUTPUT, label, self._item.action)


def _is_all(segments: Sequence[Segment], text: str) -> bool:
    """Whether a whole text is decided and contains no match."""
    if len(segments) != 1:
        return not text and not segments
    (only,) = segments
    return only.rule is None and len(only.text) == len(text)


def _joined(silent: TextChunk, piece: TextChunk) -> TextChunk:
    """A chunk with the tokens of earlier chunks that had no text."""
    if not silent.token_ids:
        return piece
    return replace(
        piece,
        token_ids=[*silent.token_ids, *piece.token_ids],
        log_probs=[*silent.log_probs, *piece.log_probs],
        prompt_log_probs=silent.prompt_log_probs or piece.prompt_log_probs,
        scores=[
            *(replace(s, before_end=s.before_end + len(piece.text)) for s in silent.scores),
            *piece.scores,
        ],
    )


class SpanObserver:
    """Counts matches and passes every chunk on immediately."""

    def __init__(self, item: SpanFilter, hold_back: int, verdicts: VerdictRecorder) -> None:
        self._item = item
        self._scanner = Scanner(item.rules, hold_back)
        self._verdicts = verdicts

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """See `AnswerFollower`."""
        scan = self._scanner.push if piece.finish is None else self._scanner.finish
        for segment in scan(piece.text):
            if segment.rule is not None:
                label = self._item.label(segment.rule)
                self._verdicts.found(ContentSide.OUTPUT, label, self._item.action)
        return [piece]


@dataclass(slots=True)
class JudgeFollower:
    """Has an answer judged in windows; each window is held back until its verdict.

    Attributes:
        window: characters of new text that are judged together.
        context: characters before them that are judged with them.
    """

    item: JudgeFilter
    window: int
    context: int
    verdicts: VerdictRecorder
    _held: list[TextChunk] = field(default_factory=list)
    _text: str = ""
    _new: int = 0

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """See `AnswerFollower`."""
        self._held.append(piece)
        self._text += piece.text
        self._new += len(piece.text)
        if self._new < self.window and piece.finish is None:
            return []
        if self._new:
            verdict = await self.item.judge.judge(self._text, ContentSide.OUTPUT)
            self.verdicts.judged(ContentSide.OUTPUT, self.item.name, self.item.action, verdict)
            if verdict.flagged:
                return [blocked(piece.index)]
        held, self._held = self._held, []
        self._text, self._new = self._text[len(self._text) - self._kept :], 0
        return held

    @property
    def _kept(self) -> int:
        return min(self.context, len(self._text))


@dataclass(slots=True)
class JudgeObserver:
    """Has a complete answer judged at its end; only the last chunk waits for the verdict."""

    item: JudgeFilter
    verdicts: VerdictRecorder
    _texts: list[str] = field(default_factory=list)

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """See `AnswerFollower`."""
        self._texts.append(piece.text)
        if piece.finish is not None and (text := "".join(self._texts)):
            verdict = await self.item.judge.judge(text, ContentSide.OUTPUT)
            self.verdicts.judged(ContentSide.OUTPUT, self.item.name, self.item.action, verdict)
        return [piece]
