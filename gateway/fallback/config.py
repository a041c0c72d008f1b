"""Who answers when the first choice cannot."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator, model_validator

#: Secrets come from files, never from this one.
_SECRET_HEADERS = {"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"}
_NAME = r"^[A-Za-z0-9._-]{1,64}$"
Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(StrEnum):
    """Why a target cannot answer.

    `OVERLOAD`: its queue is full. `OUTAGE`: it is down, unknown or too slow for its first piece.
    `CONTEXT`: prompt and answer exceed its context. `POLICY`: a limit or a rule behind this stage
    does not let the caller ask it.
    """

    OVERLOAD = "overload"
    OUTAGE = "outage"
    CONTEXT = "context"
    POLICY = "policy"


class BreakerConfig(_Section):
    """When a target is left alone for a while.

    Attributes:
        failure_rate: share of failed calls from which on it is left alone.
        minimum_calls: fewer calls in the window say nothing.
        window_s: over which calls are counted, in seconds.
        open_s: how long it is left alone, in seconds.
        probes: calls that are let through after that; if all succeed, it is back.
    """

    failure_rate: float = Field(default=0.5, gt=0, le=1)
    minimum_calls: int = Field(default=10, ge=1)
    window_s: Seconds = 30.0
    open_s: Seconds = 15.0
    probes: int = Field(default=1, ge=1)


class RetryConfig(_Section):
    """Attempts at a provider before its first piece, with full jitter between them.

    Attributes:
        attempts: in all; 1 is no retry.
        base_s: the longest first pause, in seconds; it doubles with each further one.
        most_s: the longest pause, in seconds. A provider that asks for more is given up at once.
    """

    attempts: int = Field(default=2, ge=1, le=10)
    base_s: Seconds = 0.2
    most_s: Seconds = 2.0


class ProviderConfig(_Section):
    """An external endpoint that speaks OpenAI's API.

    Attributes:
        base_url: up to and with ``/v1``; the only address that is ever asked.
        api_key_file: holds the key and nothing else; read when the adapter starts.
        key_header: ``authorization`` sends ``Bearer KEY``, any other header the key alone.
        models: our model → the provider's name of it; ``*`` is for all others.
        headers: sent with every request; none that carries a secret.
        proxy: URL of the proxy on the way there; the environment's proxies are not used.
        connect_timeout_s: for the connection, in seconds.
        first_piece_timeout_s: from the request to the first text, in seconds.
        between_pieces_timeout_s: between two pieces, in seconds.
        most_connections: at once.
    """

    base_url: HttpUrl
    api_key_file: Path | None = None
    key_header: str = "authorization"
    models: dict[str, str] = {}
    headers: dict[str, str] = {}
    proxy: str | None = None
    connect_timeout_s: Seconds = 5.0
    first_piece_timeout_s: Seconds = 30.0
    between_pieces_timeout_s: Seconds = 30.0
    most_connections: int = Field(default=100, ge=1)
    retry: RetryConfig = RetryConfig()

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"{name} carries a secret: put it in a file (api_key_file)")
        return value

    @field_validator("base_url")
    @classmethod
    def _no_credentials(cls, value: HttpUrl) -> HttpUrl:
        if value.username or value.password:
            raise ValueError("take user and password out of the URL: use api_key_file")
        if value.query or value.fragment:
            raise ValueError("give the URL up to /v1, without a query")
        return value


class TargetConfig(_Section):
    """One place of a chain: a model of ours, or a provider.

    Attributes:
        model: ``model[@version][:adapter]``; with a provider, the provider's name of the model.
        provider: a name of `FallbackConfig.providers`.
        on: why the one before may be passed over for this one.
        first_piece_timeout_s: after which the next target is asked instead; None leaves it to the
            target's own limits.
    """

    model: str | None = None
    provider: str | None = None
    on: frozenset[Condition] = frozenset({Condition.OVERLOAD, Condition.OUTAGE})
    first_piece_timeout_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.model is None and self.provider is None:
            raise ValueError("give model, or provider, or both")
        return self


class ChainConfig(_Section):
    """Who answers instead of one model.

    Attributes:
        targets: in their order.
        first_piece_timeout_s: of the model itself; see `TargetConfig`.
        hedge_after_ms: without a first piece by then, the next target is asked as well, and the
            faster one answers; None never does.
        tenants: whose calls take the chain; None is all. A provider sees what these callers write.
    """

    targets: Annotated[tuple[TargetConfig, ...], Field(min_length=1)]
    first_piece_timeout_s: Seconds | None = None
    hedge_after_ms: Annotated[float, Field(gt=0)] | None = None
    tenants: frozenset[str] | None = None


class FallbackConfig(_Section):
    """Section `fallback` of the endpoint's file; without chains it does nothing.

    Attributes:
        chains: what callers ask for → its chain. Names match as a whole: who pins ``model@7`` or
            asks for ``model:adapter`` does not want another, unless a chain has that very name.
        providers: by name.
        breaker: of each target.
    """

    chains: dict[str, ChainConfig] = {}
    providers: dict[Annotated[str, Field(pattern=_NAME)], ProviderConfig] = {}
    breaker: BreakerConfig = BreakerConfig()

    @model_validator(mode="after")
    def _known_providers(self) -> Self:
        for model, chain in self.chains.items():
            for target in chain.targets:
                if target.provider is None:
                    continue
                provider = self.providers.get(target.provider)
                if provider is None:
                    raise ValueError(
                        f"chains.{model}: no provider {target.provider!r}; providers: "
                        f"{', '.join(sorted(self.providers)) or 'none'}"
                    )
                if target.model is None and not {model, "*"} & provider.models.keys():
                    raise ValueError(
                        f"chains.{model}: provider {target.provider!r} has no name for {model!r}: "
                        f"add it to its models, or give the target a model"
                    )
        return self
