"""A request on its way, by what is known of it: asked, routed, prepared, answered.

- `Call` (asked): the caller, and the question as its endpoint has validated it.
- `Routed`: a call, and the version that is to answer it.
- `Prepared`: the same, tokenized; the engine is asked with it.
- `Answered`: who answers, and the tokens that this takes. `Call.answered` has it for the stages
  that surround the whole call.

A call knows nothing of HTTP.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from enginehouse.api.caller import TENANT_HEADER, Caller
from enginehouse.api.choices import Choices
from enginehouse.api.defaults import ModelDefaults
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.revision import Revision, Served
from enginehouse.api.routing import Keys, Route
from enginehouse.client import Embeddings

from enginehouse.text import Tokenizer
from enginehouse.traffic.treatments import Treatment

#: Estimate of a text's tokens, for text that the adapter does not tokenize.
CHARACTERS_A_TOKEN = 4
#: Priority classes by name → the engine's priority; higher goes first.
PRIORITIES = {"low": -10, "normal": 0, "high": 10}


@dataclass(frozen=True, slots=True)
class ServedBy:
    """Who answered.

    Attributes:
        version: of a model of ours; None where an external provider answered.
        fingerprint: OpenAI's `system_fingerprint`.
        source: ``engine``, ``cache`` or ``provider:NAME``.
    """

    model: str
    version: int | None
    fingerprint: str | None
    source: str = "engine"


@dataclass(frozen=True, slots=True)
class Expected:
    """Tokens that a call may take, before it is run.

    Attributes:
        prompt_tokens: exact for a prompt that the adapter tokenizes, else estimated.
        completion_tokens: most that may be generated, over all answers.
        bounded: whether the caller gave that limit; otherwise it is what the context has left.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """How an endpoint writes choices.

    Attributes:
        opening: a choice's first event before any text, without its index; or None.
        delta: a chunk → the choices of events, possibly none.
        whole: all chunks of one answer → the choice of a whole answer.
    """

    stream_object: str
    whole_object: str
    opening: dict[str, Any] | None
    delta: Callable[[TextChunk], Sequence[dict[str, Any]]]
    whole: Callable[[list[TextChunk]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ask:
    """What stages may know of a validated request.

    Attributes:
        endpoint: ``chat.completions``, ``completions``, ``embeddings``, ``count_tokens``.
        prefix: of the response's id.
        identity: every field of the request that can change its answer, less model, messages and
            prompts; JSON values. Two calls with the same identity, route and text are the same
            question.
        deterministic: whether the same question has the same answer.
        usage_so_far: whether every event of a stream has the usage up to it; vLLM's
            `continuous_usage_stats`.
    """

    endpoint: str
    prefix: str
    stream: bool = False
    include_usage: bool = False
    identity: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False
    usage_so_far: bool = False


@dataclass(slots=True)
class Answered:
    """Who answers a call, and the tokens that it takes.

    Attributes:
        revision: the version of ours that answers; None for an external provider.
        choices: its running answers; None until they are prepared, and for answers that no
            engine of ours generates.
        used: the tokens of an answer without `choices`.
        treatment: the arm of an experiment that the answer is given on.
    """

    served_by: ServedBy
    revision: Served | None = None
    treatment: Treatment | None = None
    choices: Choices | None = None
    used: Usage = field(default_factory=lambda: Usage(0))

    @property
    def usage(self) -> Usage:
        """Tokens up to now; complete when the last chunk is out."""
        return self.used if self.choices is None else self.choices.usage

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of the version that answers; None where a provider does."""
        return self.revision.tokenizer if isinstance(self.revision, Revision) else None


@dataclass(slots=True)
class Call:
    """A question and who asks it; the state *asked*.

    Attributes:
        model: the field `model`; a stage may point it elsewhere.
        asked_model: the field `model` as the caller sent it.
        messages: of a conversation, as templates take them; a stage may rewrite them.
        texts: prompts of a completion or inputs of an embedding; token ids stay ids.
        tools: tools that the template is told of.
        defaults: what is set for the model; a stage may set it.
        request_id: the caller's `x-request-id`, or one of ours; for logs and traces.
        deadline: `time.monotonic` at which the caller gives up, or None.
        priority: in the engine's queue and in front of it, higher goes first.
        tier: OpenAI's `service_tier` that the caller asked for, or None.
        store: whether the caller wants the answer kept.
        managed_prompt: the request's field `prompt`, a prompt of the registry; or None.
        response_headers: stages add theirs; they go out with answers and with errors.
        findings: what stages report of the call for the audit trail, by the stage's name; JSON
            values without any text of the caller. No stage reads another one's.
        answered: None until somebody is found to answer.
        cost_micros: its cost in millionths of the price table's currency; None before its end,
            and where no usage is recorded.
    """

    ask: Ask
    model: str
    caller: Caller = field(default_factory=Caller)
    user: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str | list[int]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    request_id: str = ""
    id: str = ""
    deadline: float | None = None
    priority: int = 0
    tier: str | None = None
    store: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    managed_prompt: Mapping[str, Any] | None = None
    response_headers: dict[str, str] = field(default_factory=dict)
    findings: dict[str, Any] = field(default_factory=dict)
    answered: Answered | None = None
    cost_micros: int | None = None
    asked_model: str = ""
    began: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.asked_model = self.asked_model or self.model
        self.id = self.id or f"{self.ask.prefix}-{uuid.uuid4().hex}"
        self.request_id = self.request_id or uuid.uuid4().hex

    @property
    def keys(self) -> Keys:
        """User, messages and headers; the routes hash one of them to choose an arm."""
        return Keys(self.user, self.messages, self.headers)

    @property
    def tenant(self) -> str | None:
        """The key's tenant; where keys are off, the one that a trusted caller names."""
        return self.caller.tenant if self.caller.key_id else self.headers.get(TENANT_HEADER)

    @property
    def served_by(self) -> ServedBy | None:
        """Who answers; None until somebody is found."""
        return None if self.answered is None else self.answered.served_by

    @property
    def usage(self) -> Usage:
        """Tokens up to now; all 0 until somebody answers."""
        return Usage(0) if self.answered is None else self.answered.usage

    def remaining_s(self) -> float | None:
        """Time until the caller gives up; None if it did not say, at least 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def elsewhere(self, model: str) -> Self:
        """The same question to another model: its own headers and findings, and not answered."""
        return replace(
            self,
            model=model,
            response_headers=dict(self.response_headers),
            findings=dict(self.findings),
            answered=None,
        )


class TextForm(Protocol):
    """What an endpoint knows of its own request: how it is tokenized, and how answers are read."""

    async def choices(self, routed: Routed) -> Choices:
        """Build the answers' generations without starting them; a retry calls it again.

        Raises:
            InvalidRequestError: if the version cannot answer the request.
        """
        ...

    def shape(self, call: TextCall, answered: Answered) -> Shape:
        """How answers are written; the version has a tokenizer unless a provider answers."""
        ...


@dataclass(slots=True, kw_only=True)
class TextCall(Call):
    """A call that generates text.

    Attributes:
        counted_tokens: length of the prompt, for a call that asks for nothing else.
    """

    form: TextForm
    counted_tokens: int | None = None


class VectorForm(Protocol):
    """What the embeddings endpoint knows of its own request."""

    async def vectors(self, routed: VectorRouted) -> Embeddings:
        """Vectors of `Call.texts`, in their order.

        Raises:
            ServingError: if the version cannot answer the request.
        """
        ...


@dataclass(slots=True, kw_only=True)
class VectorCall(Call):
    """A call that computes vectors.

    Attributes:
        expected_tokens: of its texts, estimated.
        found: the vectors, once they are there.
    """

    form: VectorForm
    expected_tokens: int
    found: Embeddings | None = None


@dataclass(frozen=True, slots=True)
class Routed:
    """A call and the version that is to answer it; the state *routed*."""

    call: TextCall
    route: Route

    @property
    def model(self) -> str:
        """The model's name."""
        return self.route.revision.target.model

    @property
    def version(self) -> int:
        """The version that was chosen."""
        return self.route.revision.version

    @property
    def pinned(self) -> bool:
        """Whether the caller chose the version."""
        return self.route.pinned

    @property
    def rollout(self) -> str | None:
        """The rollout that chose the version."""
        return self.route.rollout

    @property
    def generation(self) -> int:
        """Generation number of the routes that chose the version."""
        return self.route.generation

    @property
    def treatment(self) -> Treatment | None:
        """The arm of an experiment."""
        return self.route.treatment


@dataclass(frozen=True, slots=True)
class VectorRouted:
    """A call for vectors and the version that is to answer it; fields as in `Routed`."""

    call: VectorCall
    served: Served
    pinned: bool
    rollout: str | None = None
    generation: int = 0
    treatment: Treatment | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.served.target.model

    @property
    def version(self) -> int:
        """The version that was chosen."""
        return self.served.version


#: One attempt at a call, of either kind.
Attempted = Routed | VectorRouted


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tokenized call; the state *prepared*."""

    call: TextCall
    route: Route
    choices: Choices

    @property
    def expected(self) -> Expected:
        """The tokens that it may take."""
        generations = self.choices.generations
        return Expected(
            self.choices.usage.prompt_tokens,
            sum(generation.most_tokens for generation in generations),
            all(generation.prompt.max_tokens is not None for generation in generations),
        )
