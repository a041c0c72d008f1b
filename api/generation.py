"""One prompt → text: the call to the engine, detokenizing, stop strings, accounting."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.revision import Revision
from enginehouse.api.tracing.context import current_traceparent
from enginehouse.client import AsyncFleetClient, Deadlines, Target

from enginehouse.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    ModelNotFoundError,
)
from enginehouse.generation import Chunk, FinishReason, GenerationRequest, Guide, Sampling
from enginehouse.text.answer_text import AnswerText, TokenScore
from enginehouse.text.reasoning import ReasoningSplitter


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs generations: the fleet, how long it may take, and where it is counted.

    Attributes:
        most_tokens: of any answer; one that is longer ends there. None is no limit.
    """

    client: AsyncFleetClient
    metrics: ApiMetrics
    deadlines: Deadlines
    most_tokens: int | None = None

    def within(self, timeout_s: float | None) -> Deadlines:
        """The deadlines of a caller who waits so long at most."""
        limits = self.deadlines
        if timeout_s is None or (limits.total_s is not None and timeout_s >= limits.total_s):
            return limits
        return replace(limits, total_s=timeout_s)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What both endpoints boil down to.

    Attributes:
        max_tokens: None means all that the context has left.
        adapter: LoRA adapter of the bundle.
        stop_ids: end the answer as its last token.
        stop_shown: a stop string that was met is part of the answer.
        priority: in the engine's queue, higher goes first.
        healed: text that the answer begins with again and that is not shown.
        field_names: the engine's names of inputs → the fields that the caller knows.
        reasoning: makes what tells reasoning from the answer, to count its tokens; None is none.
    """

    ids: Sequence[int]
    max_tokens: int | None
    sampling: Sampling
    stop: Sequence[str] = ()
    stop_ids: Sequence[int] = ()
    stop_shown: bool = False
    log_probs: bool = False
    prompt_log_probs: bool = False
    ignore_eos: bool = False
    guide: Guide | None = None
    adapter: str | None = None
    priority: int = 0
    logit_bias: Mapping[int, float] | None = None
    healed: str = ""
    field_names: Mapping[str, str] = field(default_factory=dict)
    reasoning: Callable[[], ReasoningSplitter | None] = lambda: None


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Text that became final, with the tokens that arrived for it.

    Attributes:
        scores: tokens of the text, where log-probabilities are wanted; of a text that is held
            back they come with a later chunk than `token_ids`.
        stop: the stop string that ended the answer; None where something else did.
        prompt_log_probs: with the first tokens, where they are asked for, of each token of the
            prompt; None of the first, and of one that token healing took back.
    """

    text: str
    token_ids: Sequence[int] = ()
    log_probs: Sequence[float] = ()
    finish: FinishReason | None = None
    index: int = 0
    scores: Sequence[TokenScore] = ()
    stop: str | None = None
    prompt_log_probs: Sequence[float | None] = ()


@dataclass(slots=True)
class Usage:
    """Tokens of one request; complete when its last chunk is out.

    Attributes:
        cached_tokens: of the prompt, those that cost no work as they were kept.
        reasoning_tokens: of the completion, those that came before the answer.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def as_json(self) -> dict[str, Any]:
        """OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


def field_names(
    guide_field: str | None, prompt_field: str = "messages", limit_field: str = "max_tokens"
) -> dict[str, str]:
    """The engine's names of inputs → the fields of an OpenAI request."""
    names = {
        "input_ids": prompt_field,
        "request_output_len": limit_field,
        "embedding_bias": "logit_bias",
        "adapter": "model",
        "end_id": "ignore_eos",
        "stop_words_list": "stop_token_ids",
        "prompt_log_probs": "logprobs",
    }
    if guide_field is not None:
        names["guided_decoding_guide"] = guide_field
    return names


@dataclass(slots=True)
class Times:
    """When an answer's tokens came, in seconds after it was asked for; None is not yet."""

    first_s: float | None = None
    last_s: float | None = None
    tokens: int = 0

    @property
    def inter_token_s(self) -> float | None:
        """Mean wait between two tokens; None with fewer than two responses."""
        if self.first_s is None or self.last_s is None or self.last_s == self.first_s:
            return None
        return (self.last_s - self.first_s) / max(1, self.tokens - 1)


@dataclass(slots=True)
class Generation:
    """One running answer.

    Attributes:
        identity: digest of what decides the numbers of the engine that answers, once it does;
            empty if that is not known.
    """

    engine: Engine
    revision: Revision
    prompt: Prompt
    request_id: str
    index: int = 0
    usage: Usage = field(init=False)
    times: Times = field(default_factory=Times)
    identity: str = ""

    def __post_init__(self) -> None:
        self.usage = Usage(len(self.prompt.ids))

    @property
    def room(self) -> int:
        """Tokens that the context has left for an answer."""
        return max(0, self.revision.manifest.context_length - len(self.prompt.ids))

    @property
    def most_tokens(self) -> int:
        """The most that this may generate.

        What was asked for, else what the context has left; never more than any answer may have.
        """
        wanted = self.room if self.prompt.max_tokens is None else self.prompt.max_tokens
        most = self.engine.most_tokens
        return wanted if most is None else min(wanted, most)

    async def pieces(self, timeout_s: float | None = None) -> AsyncGenerator[TextChunk, None]:
        """Text as it comes; the last chunk has `finish`. Closing it cancels the engine's work.

        Args:
            timeout_s: the caller's patience; None is the adapter's own.

        Raises:
            ServingError: one of its subclasses.
        """
        if self.most_tokens == 0 and not self.prompt.prompt_log_probs:
            yield self._nothing(())
            return
        request = self._request()
        text = AnswerText(
            self.revision.tokenizer,
            stop=self.prompt.stop,
            stop_shown=self.prompt.stop_shown,
            hidden=len(self.prompt.healed),
            scored=self.prompt.log_probs,
            end_ids=request.end_ids.union(self.prompt.stop_ids),
        )
        reasoning = self.prompt.reasoning()
        clock = _Clock(self)
        chunks = self.engine.client.generate(
            self._target(), request, deadlines=self.engine.within(timeout_s)
        )
        try:
            with clock:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        clock.tick(len(chunk.token_ids))
                        self.identity = self.identity or chunk.engine
                        piece = self._piece(chunk, text)
                        if self.most_tokens == 0 and piece.token_ids:
                            piece = self._nothing(piece.prompt_log_probs)
                        if reasoning is not None:
                            self._count_reasoning(reasoning, piece)
                        if piece.text or piece.token_ids or piece.finish is not None:
                            yield piece
                        if piece.finish is not None:
                            return
        except InvalidRequestError as error:
            error.field = self.prompt.field_names.get(error.field or "", error.field)
            raise
        except ModelNotFoundError as error:
            # The directory found it loaded: it is not unknown, it is away.
            version = self.revision.fingerprint
            raise EngineUnavailableError(f"{version} is loaded nowhere right now") from error
        raise EngineUnavailableError("the engine's stream ended too early")

    def _count_reasoning(self, splitter: ReasoningSplitter, piece: TextChunk) -> None:
        """The tokens of the marks are reasoning too."""
        before = splitter.thinking
        splitter.push(piece.text)
        if before or splitter.thinking:
            self.usage.reasoning_tokens += len(piece.token_ids)

    def _request(self) -> GenerationRequest:
        manifest = self.revision.manifest
        ends = () if self.prompt.ignore_eos else manifest.special_tokens.end_ids
        return GenerationRequest(
            input_ids=self.prompt.ids,
            # The engine generates one token at least.
            max_tokens=max(1, self.most_tokens),
            request_id=self.request_id,
            sampling=self.prompt.sampling.of_sequence(self.index),
            guide=self.prompt.guide,
            embedding_bias=self.prompt.logit_bias,
            end_ids=frozenset(ends),
            stop_sequences=tuple((token_id,) for token_id in self.prompt.stop_ids),
            return_log_probs=self.prompt.log_probs,
            prompt_log_probs=self.prompt.prompt_log_probs,
            priority=self.prompt.priority,
            # Read at the first chunk: a stream goes on in another task.
            traceparent=current_traceparent(),
        )

    def _target(self) -> Target:
        known = self.revision.adapters
        place = 1 + known.index(self.prompt.adapter) if self.prompt.adapter else 0
        return replace(self.revision.target, adapter_id=place)

    def _piece(self, chunk: Chunk, text: AnswerText) -> TextChunk:
        """Tokens after a stop string's last one are neither shown nor counted."""
        written = text.push(chunk.token_ids, chunk.log_probs, chunk.finish)
        self.usage.completion_tokens += written.tokens
        return TextChunk(
            written.text,
            chunk.token_ids[: written.tokens],
            chunk.log_probs[: written.tokens],
            written.finish,
            self.index,
            written.scores,
            written.stop,
            self._of_prompt(chunk.prompt_log_probs),
        )

    def _nothing(self, prompt_log_probs: Sequence[float | None]) -> TextChunk:
        """The only chunk of an answer that may have no token."""
        self.usage.completion_tokens = 0
        finish = FinishReason.LENGTH
        return TextChunk("", finish=finish, index=self.index, prompt_log_probs=prompt_log_probs)

    def _of_prompt(self, log_probs: Sequence[float]) -> Sequence[float | None]:
        return [None, *log_probs[1:], *([None] if self.prompt.healed else [])] if log_probs else ()


class _Clock:
    """Token metrics of one request, and the times of its tokens."""

    def __init__(self, generation: Generation) -> None:
        target = generation.revision.target
        labels = (target.model, str(target.version))
        metrics = generation.engine.metrics
        self._usage = generation.usage
        self._times = generation.times
        self._in_flight = metrics.in_flight.labels(target.model)
        self._prompt_tokens = metrics.prompt_tokens.labels(*labels)
        self._completion_tokens = metrics.completion_tokens.labels(*labels)
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        self._in_flight.inc()

    def __exit__(self, *_: object) -> None:
        self._in_flight.dec()
        self._prompt_tokens.inc(self._usage.prompt_tokens)
        self._completion_tokens.inc(self._usage.completion_tokens)

    def tick(self, tokens: int) -> None:
        """A response with this many tokens arrived."""
        if not tokens:
            return
        times = self._times
        now_s = time.perf_counter() - self._began
        if times.last_s is None:
            times.first_s = now_s
        times.last_s = now_s
        times.tokens += tokens
