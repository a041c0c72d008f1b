"""Domain values of one generation: the request, its sampling, and the chunks of the answer."""

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


#: Below this a temperature counts as 0. Engines divide logits by it in float32: with a smaller one
#: the quotients overflow, and below 1.2e-38 it is not a normal float32. At 1e-5 a token whose logit
#: is lower by a hundredth is drawn once in e**1000 times.
GREEDY_BELOW_TEMPERATURE = 1e-5
#: Below this `top_p` leaves one token: the likeliest has at least 1 / vocabulary probability.
GREEDY_BELOW_TOP_P = 1e-6
#: The largest float32 below 1.
LARGEST_SHARE = 1 - 2**-24
#: Range of a repetition penalty.
SMALLEST_REPETITION_PENALTY, LARGEST_REPETITION_PENALTY = 1e-3, 100.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    Greedy unless `top_k` > 1, or `top_p` is given with `top_k` absent or 0; this is the contract's
    rule (NVIDIA/TensorRT-LLM, `SamplingConfig`). Also greedy with a `temperature` of 0 or one that
    float32 cannot divide by, and with a `top_p` that leaves one token.

    Attributes:
        seed: None uses a random seed.
        min_p: tokens less likely than this share of the likeliest are not drawn; 0 disables it.
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
        """Whether the most likely token is always chosen."""
        if self.temperature < GREEDY_BELOW_TEMPERATURE:
            return True
        if self.top_p and self.top_p < GREEDY_BELOW_TOP_P:
            return True
        if self.top_k:
            return self.top_k == 1
        return not self.top_p

    def of_sequence(self, index: int) -> Sampling:
        """Sampling of one of several sequences; a given seed is increased by the index."""
        if self.seed is None or not index:
            return self
        return replace(self, seed=(self.seed + index) % 2**64)


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics that a request wants returned with its answer."""

    times: bool = False
    input_tokens: bool = False
    output_tokens: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request to the engine: token ids in, token ids out.

    Attributes:
        request_id: the client's id, which `stop` refers to; may be empty.
        input_ids: prompt, at least one id.
        max_tokens: maximum number of tokens to generate, at least one.
        end_ids: ids that end the answer; empty means generate to `max_tokens`.
        stop_sequences: id sequences that end the answer; they stay in the output.
        bad_words: id sequences that must not be generated.
        priority: higher is admitted first.
        sequences: number of answers to generate; each has its own seed.
        sequence_index: index of this answer, inside the engine.
        adapter: name of a LoRA adapter of the bundle, or None.
        embedding_bias: values added to the logits of these ids.
        traceparent: W3C `traceparent` of the parent span; None records no spans.
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
        """Whether this token ends the answer."""
        return token_id in self.end_ids or (token_id,) in self.stop_sequences


def each_sequence(request: GenerationRequest) -> list[GenerationRequest]:
    """Split a request into one for each sequence."""
    if request.sequences == 1:
        return [request]
    return [
        replace(request, sequence_index=index, sampling=request.sampling.of_sequence(index))
        for index in range(request.sequences)
    ]


@dataclass(slots=True)
class Timings:
    """Times of a request in nanoseconds of the monotonic clock; 0 means not yet."""

    arrival_ns: int = 0
    first_scheduled_ns: int = 0
    first_token_ns: int = 0
    last_token_ns: int = 0


@dataclass(slots=True)
class Drafts:
    """Speculative decoding of one request so far.

    Attributes:
        drafted: upper bound of the drafted tokens: runtimes do not report the actual number.
        accepted: tokens of a step beyond the one that every step gives.
    """

    drafted: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float:
        """Accepted share of the drafted tokens, 0 to 1; 0 if none were drafted."""
        return self.accepted / self.drafted if self.drafted else 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens that became available at the same time.

    Attributes:
        token_ids: new ids; may be empty in the last chunk.
        log_probs: natural logarithm of each new token's probability, same length, or empty.
        finish: set in the last chunk.
        prompt_log_probs: log-probability of each prompt id given those before it, 0 for the first;
            in the first chunk with tokens, if the request asks for them.
        engine: digest of the facts that determine the engine's results; set by a fleet, if known.
    """

    token_ids: Sequence[int]
    log_probs: Sequence[float] = ()
    finish: FinishReason | None = None
    engine: str = ""
    prompt_log_probs: Sequence[float] = ()
