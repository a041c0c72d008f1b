"""One request on its way through the stages, and what a stage is.

A request is answered by a chain: each stage gets the call and what comes after it, and gives the
pieces of the answer. What it does before it asks for them happens before the engine is asked; what
it does in between happens while the answer streams; what it does at the end happens even when the
caller has gone, since closing a generator closes all inside it. A stage knows nothing of HTTP.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from enginehouse.api.choices import Choices
from enginehouse.api.generation import Piece, Usage
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Keys, Route

from enginehouse.text import Tokenizer

#: Where a text is not tokenized here, its tokens are estimated so.
CHARACTERS_A_TOKEN = 4
#: Priority classes by name → the engine's priority; higher goes first.
PRIORITIES = {"low": -10, "normal": 0, "high": 10}


class Role(StrEnum):
    """What a key allows."""

    INFERENCE = "inference"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        key_id: the public part of the key; None where keys are off.
        models: ``model`` or ``model@version`` that it may ask; None is all.
    """

    tenant: str = "default"
    key_id: str | None = None
    roles: frozenset[Role] = frozenset(Role)
    models: frozenset[str] | None = None


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
        prompt_tokens: exact where the prompt is tokenized by us, else estimated.
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
        delta: a piece → the choices of events, possibly none.
        whole: all pieces of one answer → the choice of a whole answer.
    """

    stream_object: str
    whole_object: str
    opening: dict[str, Any] | None
    delta: Callable[[Piece], Sequence[dict[str, Any]]]
    whole: Callable[[list[Piece]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A validated request, as its endpoint knows it.

    Attributes:
        endpoint: ``chat.completions``, ``completions``, ``embeddings``.
        prefix: of the response's id.
        identity: every field of the request that can change its answer, less model, messages and
            prompts; JSON values. Two calls with the same identity, route and text are the same
            question.
        deterministic: whether the same question has the same answer.
        usage_so_far: whether every event of a stream has the usage up to it; vLLM's
            `continuous_usage_stats`.
        prepare: tokenizes for a route; it may be called again for another one.
        shape: how answers are written; the tokenizer is None where a provider answers.
        run: pieces of the answer, behind the stages that all endpoints share.
    """

    endpoint: str
    prefix: str
    stream: bool
    include_usage: bool
    run: Proceed
    prepare: Callable[[Call, Route], Awaitable[Choices]] | None = None
    shape: Callable[[Call, Tokenizer | None], Shape] | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False
    usage_so_far: bool = False


@dataclass(slots=True)
class Call:
    """What stages may read and change.

    Attributes:
        model: the field `model`; a stage may point it elsewhere.
        asked_model: the field `model` as the caller sent it.
        messages: of a conversation, as templates take them; a stage may rewrite them.
        texts: prompts of a completion or inputs of an embedding; token ids stay ids.
        tools: tools that the template is told of.
        request_id: the caller's `x-request-id`, or one of ours; for logs and traces.
        deadline: `time.monotonic` at which the caller gives up, or None.
        priority: in the engine's queue and in front of it, higher goes first.
        store: whether the caller wants the answer kept.
        response_headers: stages add theirs; they go out with answers and with errors.
        notes: what stages found, by their name; JSON values without any text of the caller.
        route, choices, expected: known once the call has been routed and prepared.
        usage: complete when the last piece is out.
        cost_micros: what it has cost, in millionths of the price table's currency; None before
            its end, and where no usage is written down.
    """

    ask: Ask
    model: str
    caller: Caller = field(default_factory=Caller)
    user: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str | list[int]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    request_id: str = ""
    id: str = ""
    deadline: float | None = None
    priority: int = 0
    store: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    route: Route | None = None
    choices: Choices | None = None
    expected: Expected | None = None
    served_by: ServedBy | None = None
    usage: Usage = field(default_factory=lambda: Usage(0))
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
        """What assigns it to an arm of a rollout or an experiment."""
        return Keys(self.user, self.messages, self.headers)

    @property
    def revision(self) -> Revision:
        """Who answers, once it is routed."""
        assert self.route is not None  # noqa: S101 - stages stand in their order
        return self.route.revision

    def remaining_s(self) -> float | None:
        """Time until the caller gives up; None if it did not say, at least 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def elsewhere(self, model: str) -> Call:
        """The same question to another model, with nothing of this attempt; headers are shared."""
        return replace(
            self, model=model, route=None, choices=None, expected=None, served_by=None,
            usage=Usage(0),
        )  # fmt: skip


class Ends:
    """Knows the last piece of an answer before the stages behind have closed their books.

    Whoever waits for the end of the stream instead has the caller wait for those books too.
    """

    def __init__(self, call: Call) -> None:
        """Nothing has been seen yet."""
        self._call = call
        self._ended = 0

    def after(self, piece: Piece) -> bool:
        """Whether this piece is the last one; `Call.usage` is complete then.

        How many answers another source than our engine gives is not known: always false there.
        """
        if piece.finish is None:
            return False
        self._ended += 1
        choices = self._call.choices
        if choices is None or self._ended < len(choices.generations):
            return False
        self._call.usage = choices.usage
        return True


Proceed = Callable[[Call], AsyncGenerator[Piece, None]]


class Stage(Protocol):
    """One step of the chain; removable, since the others do not know it."""

    @property
    def name(self) -> str:
        """For metrics and notes."""
        ...

    def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """Pieces of the answer; `proceed` gives those of the stages behind.

        Raises:
            ServingError: with the reason, if the call ends here.
        """
        ...


def compose(stages: Sequence[Stage], last: Proceed) -> Proceed:
    """A chain of stages, the first outermost."""
    chain = last
    for stage in reversed(stages):
        chain = _linked(stage, chain)
    return chain


def _linked(stage: Stage, behind: Proceed) -> Proceed:
    return lambda call: stage(call, behind)


async def passed(call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
    """The pieces of the stages behind, unchanged; closed when this is closed."""
    async with aclosing(proceed(call)) as pieces:
        async for piece in pieces:
            yield piece
