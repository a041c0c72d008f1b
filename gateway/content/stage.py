"""The stage `content`: filters before and after the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Proceed
from enginehouse.gateway.content.answers import AnswerFilters
from enginehouse.gateway.content.config import ContentConfig, PiiConfig
from enginehouse.gateway.content.filters import Filter, JudgeFilter, SpanFilter
from enginehouse.gateway.content.followers import (
    AnswerFollower,
    JudgeFollower,
    JudgeObserver,
    SpanFollower,
    SpanObserver,
)
from enginehouse.gateway.content.metrics import ContentMetrics
from enginehouse.gateway.content.placeholders import PlaceholderNumbers, restoring_rule
from enginehouse.gateway.content.prompts import PromptFilters
from enginehouse.gateway.content.verdicts import Action, VerdictRecorder

from enginehouse.errors import EngineUnavailableError

_Call = TypeVar("_Call", bound=Call)


@dataclass(frozen=True, slots=True)
class ContentStage:
    """Reads prompts and answers, and does what the configuration says.

    Its findings are in `Call.findings` under ``content``, see `VerdictRecorder`. An answer that a
    rule ends has the finish reason ``content_filter``. When rules have ended every answer of the
    call, the engine is cancelled; usage keeps the tokens generated so far.
    """

    config: ContentConfig
    inputs: Sequence[Filter]
    outputs: Sequence[Filter]
    metrics: ContentMetrics

    @asynccontextmanager
    async def transform(
        self, call: _Call, proceed: Proceed[_Call]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """See `Transformer`.

        Raises:
            ContentBlockedError: if a rule refuses the prompt.
            InvalidRequestError: if a rule has to read a prompt that is token ids.
        """
        inputs = [item for item in self.inputs if item.applies(call)]
        outputs = [item for item in self.outputs if item.applies(call)]
        work = _Work(self.config, call, PlaceholderNumbers(), VerdictRecorder(call, self.metrics))
        if inputs:
            prompts = PromptFilters(
                inputs, work.verdicts, work.numbers, self.config.hold_back_characters
            )
            with self.metrics.input_seconds.time():
                await prompts.admit(call, refuse_ids=self.config.id_prompts == "refuse")
        outputs += work.restoring(inputs)
        async with proceed(call) as pieces:
            if not outputs:
                yield pieces
                return
            async with aclosing(work.filtered(outputs, pieces)) as filtered:
                yield filtered


@dataclass(frozen=True, slots=True)
class _Work:
    """One call."""

    config: ContentConfig
    call: Call
    numbers: PlaceholderNumbers
    verdicts: VerdictRecorder

    def restoring(self, inputs: Sequence[Filter]) -> list[Filter]:
        """The filter that gives the answer the prompt's values back; it is the last."""
        kinds = {
            kind
            for item in inputs
            if isinstance(item.config, PiiConfig) and item.config.restore
            for kind in item.config.kinds
        }
        values = self.numbers.values(kinds) if kinds else {}
        if not values:
            return []
        config = PiiConfig(type="pii", placeholders="numbered", restore=True)
        rules = (restoring_rule(values),)
        return [
            SpanFilter(
                "restore", Action.REDACT, config, rules, lambda _, at, __: values[at], restores=True
            )
        ]

    async def filtered(
        self, outputs: Sequence[Filter], pieces: AsyncIterator[TextChunk]
    ) -> AsyncGenerator[TextChunk, None]:
        """The chunks that are let out; the answer ends early if rules have ended all of it."""
        answers = AnswerFilters(self.call, lambda: self._followers(outputs))
        async for piece in pieces:
            for shown in await answers.push(piece):
                yield shown
            if answers.complete:
                return
        if answers.open:
            raise EngineUnavailableError("the answer's stream ended too early")

    def _followers(self, outputs: Sequence[Filter]) -> list[AnswerFollower]:
        numbers = self.numbers.copy()
        return [self._follower(item, numbers) for item in outputs]

    def _follower(self, item: Filter, numbers: PlaceholderNumbers) -> AnswerFollower:
        config, verdicts = self.config, self.verdicts
        observes = item.action is Action.FLAG
        if isinstance(item, SpanFilter):
            if observes:
                return SpanObserver(item, config.hold_back_characters, verdicts)
            noted = None if item.restores else verdicts
            hold_back = config.hold_back_characters
            return SpanFollower(item, hold_back, numbers, self._tells_its_text, noted)
        assert isinstance(item, JudgeFilter)  # noqa: S101 - there are two kinds
        if observes:
            return JudgeObserver(item, verdicts)
        return JudgeFollower(item, config.window_characters, config.context_characters, verdicts)

    def _tells_its_text(self, piece: TextChunk) -> bool:
        """Whether a chunk's tokens say its text.

        They do not where a character or a stop string is spread over several pieces: such tokens
        may tell what a rule takes out of the next chunk.
        """
        tokenizer = None if self.call.answered is None else self.call.answered.tokenizer
        if tokenizer is None:
            return False
        said = "".join(tokenizer.token_text(token_id) for token_id in piece.token_ids)
        # The last tokens may be the end's own.
        return said.startswith(piece.text) if piece.finish is not None else said == piece.text
