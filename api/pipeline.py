"""The stages in their order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from enginehouse.api.attempts import Attempts, Routing, run_engine
from enginehouse.api.call import Call, Proceed, Stage, compose
from enginehouse.api.generation import Piece
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.routing import Router
from enginehouse.gateway.access.model_access import ModelAccess
from enginehouse.gateway.audit.stage import Audit
from enginehouse.gateway.cache.stage import ResponseCache
from enginehouse.gateway.content.stage import ContentStage
from enginehouse.gateway.fallback.stage import Fallback
from enginehouse.gateway.ledger.ledger import Ledger
from enginehouse.gateway.ledger.stage import UsageLedger
from enginehouse.gateway.limits.opening import LimitStages
from enginehouse.gateway.models.settings import ModelSettings
from enginehouse.gateway.prompts.released import ReleasedPrompt
from enginehouse.gateway.prompts.stage import PromptRegistry
from enginehouse.gateway.samples.ring import SampleRing
from enginehouse.gateway.shadow.aside import Aside
from enginehouse.gateway.tracing.opening import Observability

from enginehouse.errors import ContextOverflowError
from enginehouse.generation import FinishReason

#: Call.notes: tokens of a prompt that was asked for them alone.
COUNT_NOTE = "counted_tokens"


@dataclass(frozen=True, slots=True)
class Stages:
    """What was opened; None is off, and costs nothing."""

    observed: Observability
    models: ModelSettings
    limits: LimitStages
    prompts: PromptRegistry
    content: ContentStage
    fallback: Fallback
    audit: Audit | None = None
    ledger: Ledger | None = None
    released: ReleasedPrompt | None = None
    cache: ResponseCache | None = None


def whole_pipeline(stages: Stages) -> Proceed:
    """What every call goes through, whatever its endpoint.

    Refusals are audited and counted, so both stand outside of what refuses. Aliases are resolved
    before anything is looked up by model. Content filters see the registry's prompts too.
    """
    chain: list[Stage | None] = [
        *stages.observed.outermost(),
        stages.audit,
        None if stages.ledger is None else UsageLedger(stages.ledger),
        stages.models,
        ModelAccess(),
        stages.limits.requests,
        stages.prompts,
        stages.content,
    ]
    return compose([stage for stage in chain if stage is not None], _own)


def text_pipeline(
    stages: Stages, router: Router, metrics: ApiMetrics, samples: SampleRing, aside: Aside
) -> Proceed:
    """What text goes through, behind `whole_pipeline`.

    Each target of a fallback chain is routed anew. The cache is asked when the version is known.
    Tokens are counted, and the engine is queued for, once a prompt is tokenized.
    """
    chain: list[Stage | None] = [
        stages.fallback,
        Routing(router),
        stages.released,
        stages.cache,
        Attempts(router, metrics, samples, aside),
        *stages.observed.mark("prepared"),
        stages.limits.tokens,
        stages.limits.turns,
        *stages.observed.step("engine"),
    ]
    return compose([stage for stage in chain if stage is not None], run_engine)


def counting_pipeline(stages: Stages, router: Router) -> Proceed:
    """A prompt is prepared and never run; `Call.notes` has its length under `COUNT_NOTE`."""
    chain: list[Stage | None] = [Routing(router), stages.released]
    return compose([stage for stage in chain if stage is not None], _counted)


async def _counted(call: Call) -> AsyncGenerator[Piece, None]:
    assert call.ask.prepare is not None  # noqa: S101 - text endpoints have it
    assert call.route is not None  # noqa: S101 - `Routing` stands before
    # It is no answer that was prepared: nothing of it is used, and nothing is paid for.
    try:
        count = (await call.ask.prepare(call, call.route)).usage.prompt_tokens
    except ContextOverflowError as error:
        # How long it is is just what a caller of a prompt that is too long asks.
        count = error.prompt_tokens
    call.notes[COUNT_NOTE] = count
    yield Piece("", finish=FinishReason.STOP)


def _own(call: Call) -> AsyncGenerator[Piece, None]:
    return call.ask.run(call)
