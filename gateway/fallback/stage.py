"""The stage that asks somebody else when the first choice cannot answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial

from enginehouse.api.call import Call, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Proceed
from enginehouse.gateway.fallback.config import ChainConfig, FallbackConfig, TargetConfig
from enginehouse.gateway.fallback.connections import open_providers
from enginehouse.gateway.fallback.metrics import FallbackMetrics
from enginehouse.gateway.fallback.provider import Provider
from enginehouse.gateway.fallback.run import Attempt, FallbackRun, adopt
from enginehouse.gateway.fallback.targets import Circuits, FallbackTarget, blamed
from enginehouse.gateway.fallback.translate import hindrance
from prometheus_client import CollectorRegistry

from enginehouse.errors import ServingError

ANSWERED_BY_HEADER = "x-enginehouse-answered-by"


@asynccontextmanager
async def open_fallback(
    config: FallbackConfig, registry: CollectorRegistry
) -> AsyncIterator[Fallback]:
    """The stage and its connections to providers, until the block ends.

    Raises:
        SettingsError: if a provider's key cannot be read.
    """
    metrics = FallbackMetrics(registry)

    def retried(provider: str) -> None:
        metrics.retries.labels(provider).inc()

    async with open_providers(config.providers, on_retry=retried) as providers:
        yield Fallback(config, providers, metrics)


class Fallback:
    """Follows a model's chain, never after the first chunk. Each target is routed anew."""

    def __init__(
        self,
        config: FallbackConfig,
        providers: Mapping[str, Provider],
        metrics: FallbackMetrics,
        *,
        circuits: Circuits | None = None,
    ) -> None:
        self._chains = config.chains
        self._metrics = metrics
        self._circuits = circuits or Circuits(config.breaker, metrics)
        self._targets = {
            name: [_wanted(name, chain), *(_target(name, t, providers) for t in chain.targets)]
            for name, chain in config.chains.items()
        }

    @asynccontextmanager
    async def transform(
        self, call: TextCall, proceed: Proceed[TextCall]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """See `Transformer`."""
        chain = self._chain(call)
        way = proceed(call) if chain is None else self._along(chain, call, proceed)
        async with way as pieces:
            _say_who(call)
            yield pieces

    def _chain(self, call: Call) -> ChainConfig | None:
        chain = self._chains.get(call.model)
        if chain is None or chain.tenants is None:
            return chain
        return chain if (call.tenant or call.caller.tenant) in chain.tenants else None

    @asynccontextmanager
    async def _along(
        self, chain: ChainConfig, call: TextCall, proceed: Proceed[TextCall]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        hedge_ms = chain.hedge_after_ms
        run = FallbackRun(
            call.model,
            self._possible(call),
            self._circuits,
            self._metrics,
            hedge_after_s=None if hedge_ms is None else hedge_ms / 1000,
        )
        attempt, running = await run.first(call, proceed)
        try:
            async with running.stages:
                adopt(call, attempt.call)
                yield running.pieces
        except ServingError as error:
            self._broke(attempt, error)
            raise
        finally:
            adopt(call, attempt.call)

    def _possible(self, call: Call) -> list[FallbackTarget]:
        """The chain, without providers if these could not answer such a call."""
        known = self._targets[call.model]
        external = hindrance(call) is None
        return [target for target in known if external or not target.external]

    def _broke(self, attempt: Attempt, error: ServingError) -> None:
        if blamed(attempt.target, error, attempt.call):
            self._circuits.broke(attempt.target)


def _wanted(model: str, chain: ChainConfig) -> FallbackTarget:
    return FallbackTarget(model, model, _ours, first_piece_timeout_s=chain.first_piece_timeout_s)


def _target(asked: str, config: TargetConfig, providers: Mapping[str, Provider]) -> FallbackTarget:
    limit_s = config.first_piece_timeout_s
    if config.provider is None:
        model = config.model or asked
        return FallbackTarget(model, model, _ours, config.on, limit_s)
    way = partial(_theirs, providers[config.provider], config.model)
    label = f"provider:{config.provider}"
    return FallbackTarget(label, asked, way, config.on, limit_s, external=True)


def _ours(
    call: TextCall, proceed: Proceed[TextCall]
) -> AbstractAsyncContextManager[AsyncIterator[TextChunk]]:
    return proceed(call)


@asynccontextmanager
async def _theirs(
    provider: Provider, model: str | None, call: TextCall, _: Proceed[TextCall]
) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
    async with aclosing(provider.pieces(call, model)) as pieces:
        yield pieces


def _say_who(call: Call) -> None:
    """An answer from the cache names the version that gave it once."""
    served = call.served_by
    if served is not None:
        own = f"{served.model}@{served.version}"
        call.response_headers[ANSWERED_BY_HEADER] = served.source if served.version is None else own
