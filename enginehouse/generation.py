"""The vocabulary of one generation: what is asked, what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    CONTENT_FILTER = "content_filter"


class GuideKind(StrEnum):
    """Values of the contract's `guided_decoding_guide_type`."""

    JSON = "json"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    EBNF_GRAMMAR = "ebnf_grammar"


@dataclass(frozen=True, slots=True)
class Guide:
    """A constraint on the output: its kind and its text (schema, pattern, grammar)."""

    kind: GuideKind
    text: str


#: Below it a temperature is 0: engines divide logits by it in float32, where the quotients of a
#: smaller one overflow, and a smaller number than 1.2e-38 is no normal float32 at all. At 1e-5 a
#: logit that is behind by a hundredth is drawn once in e**1000 times.
GREEDY_BELOW_TEMPERATURE = 1e-5
#: Below it `top_p` leaves one token: the likeliest has at least 1 / vocabulary of the probability.
GREEDY_BELOW_TOP_P = 1e-6
#: The largest float32 below 1.
LARGEST_SHARE = 1 - 2**-24
#: Range of a repetition penalty.
SMALLEST_REPETITION_PENALTY, LARGEST_REPETITION_PENALTY = 1e-3, 100.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Greedy unless `top_k` > 1, or `top_p` is given with `top_k` absent or 0, the contract's own
    rule (NVIDIA/TensorRT-LLM, `SamplingConfig`); a `temperature` of 0, or one that float32 cannot
    divide by, is greedy as well, and so is a `top_p` that leaves one token.

    Attributes:
        seed: None draws one at random.
        min_p: tokens less likely than this share of the likeliest are not drawn; 0 is off.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    min_tokens: int = 0
    min_p: float = 0.0

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        if self.temperature < GREEDY_BELOW_TEMPERATURE:
            return True
        if self.top_p and self.top_p < GREEDY_BELOW_TOP_P:
            return True
        if self.top_k:
            return self.top_k == 1
        return not self.top_p

    def of_sequence(self, index: int) -> Sampling:
        """Of several answers each has a seed of its own; a given one counts up."""
        if self.seed is None or not index:
            return self
        return replace(self, seed=(self.seed + index) % 2**64)


@dataclass(frozen=True, slots=True)
class Report:
    """Which figures about itself a request wants with its answer."""

    times: bool = False
    input_tokens: bool = False
    output_tokens: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request as the engine sees it: ids in, ids out.

    Attributes:
        request_id: the client's own id; `stop` refers to it. May be empty.
        input_ids: prompt, at least one id.
        max_tokens: most tokens to generate, at least one.
        end_ids: ids that end the answer; empty means generate to `max_tokens`.
        stop_sequences: id sequences that end the answer once generated; they stay in the output.
        bad_words: id sequences that must not be generated.
        priority: higher is admitted first.
        sequences: how many answers to generate; each has the prompt and a seed of its own.
        sequence_index: which of them this is, inside the engine.
        adapter: name of a LoRA adapter of the bundle, or None.
        embedding_bias: added to these ids' logits before the next token is drawn.
        traceparent: W3C's, of the span that the engine's spans belong to; None makes none.
    """

    input_ids: Sequence[int]
    max_tokens: int
    request_id: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    end_ids: frozenset[int] = frozenset()
    stop_sequences: tuple[tuple[int, ...], ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    guide: Guide | None = None
    return_log_probs: bool = False
    prompt_log_probs: bool = False
    report: Report = field(default_factory=Report)
    streaming: bool = True
    exclude_input_in_output: bool = False
    priority: int = 0
    sequences: int = 1
    sequence_index: int = 0
    adapter: str | None = None
    embedding_bias: Mapping[int, float] | None = None
    traceparent: str | None = None

    def ends_at(self, token_id: int | None) -> bool:
        """Whether this token ends the answer, at whatever place."""
        return token_id in self.end_ids or (token_id,) in self.stop_sequences


def each_sequence(request: GenerationRequest) -> list[GenerationRequest]:
    """One request for each answer that is asked for."""
    if request.sequences == 1:
        return [request]
    return [
        replace(request, sequence_index=index, sampling=request.sampling.of_sequence(index))
        for index in range(request.sequences)
    ]


@dataclass(slots=True)
class Timings:
    """When things happened to a request, in nanoseconds of the monotonic clock; 0 is not yet."""

    arrival_ns: int = 0
    first_scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0


@dataclass(slots=True)
class Drafts:
    """Tokens of speculative decoding for one request, so far.

    Attributes:
        drafted: the most that could have been: runtimes do not say how many were.
        accepted: tokens of a step beyond the one that any step gives.
    """

    drafted: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float:
        """Share of the drafted tokens that were accepted, 0 to 1; 0 without any."""
        return self.accepted / self.drafted if self.drafted else 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens that became available together.

    Attributes:
        token_ids: new ids, possibly none in the last chunk.
        log_probs: natural logarithm of each new token's probability, same length, or empty.
        finish: set in the last chunk.
        prompt_log_probs: of each id of the prompt after those before it, 0 for the first; in the
            first chunk with tokens, where the request asks for them.
        engine: digest of what decides the engine's numbers; in a fleet's chunks, where known.
    """

    token_ids: Sequence[int]
    log_probs: Sequence[float] = ()
    finish: FinishReason | None = None
    engine: str = ""
    prompt_log_probs: Sequence[float] = ()
