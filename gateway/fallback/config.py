"""Section `fallback` of the endpoint's file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator, model_validator

#: These headers carry secrets, which are read from files only.
_SECRET_HEADERS = {"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"}
_NAME = r"^[A-Za-z0-9._-]{1,64}$"
Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(StrEnum):
    """Why a target cannot answer.

    `OVERLOAD`: its queue is full. `OUTAGE`: it is unreachable, unknown or too slow with its first
    chunk. `CONTEXT`: prompt and answer exceed its context. `POLICY`: a limit or an access rule
    behind
    this stage rejects the caller.
    """

    OVERLOAD = "overload"
    OUTAGE = "outage"
    CONTEXT = "context"
    POLICY = "policy"


class BreakerConfig(_Section):
    """When calls to a target are suspended.

    Attributes:
        failure_rate: fraction of failed calls at which the circuit opens.
        minimum_calls: least number of calls in the window for that.
        window_s: length of the window in which calls are counted, in seconds.
        open_s: how long the circuit stays open, in seconds.
        probes: calls let through after that; if all of them succeed, the circuit closes.
    """

    failure_rate: float = Field(default=0.5, gt=0, le=1)
    minimum_calls: int = Field(default=10, ge=1)
    window_s: Seconds = 30.0
    open_s: Seconds = 15.0
    probes: int = Field(default=1, ge=1)


class RetryConfig(_Section):
    """Retries of a provider before its first chunk, with full jitter.

    Attributes:
        attempts: attempts in all; 1 means no retry.
        base_s: longest first delay, in seconds; it doubles with each retry.
        most_s: longest delay, in seconds. If a provider asks for a longer one, it is not retried.
    """

    attempts: int = Field(default=2, ge=1, le=10)
    base_s: Seconds = 0.2
    most_s: Seconds = 2.0


class ProviderConfig(_Section):
    """An external endpoint with OpenAI's API.

    Attributes:
        base_url: URL including ``/v1``; no other address is contacted.
        api_key_file: file that contains only the key; read when the adapter starts.
        key_header: ``authorization`` sends ``Bearer KEY``, any other header only the key.
        models: our model → the provider's model; ``*`` stands for all others.
        headers: headers of every request; headers with secrets are rejected.
        proxy: URL of the proxy to use; proxies of the environment are ignored.
        connect_timeout_s: timeout of the connection, in seconds.
        first_piece_timeout_s: time from the request to the first text, in seconds.
        between_pieces_timeout_s: time between two chunks, in seconds.
        most_connections: most connections at once.
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
    """One target of a chain: a model of ours, or a provider.

    Attributes:
        model: ``model[@version][:adapter]``; with a provider, the provider's name of the model.
        provider: a name of `FallbackConfig.providers`.
        on: failures of the previous target for which this one is tried.
        first_piece_timeout_s: time after which the next target is tried instead; None leaves it to
            the target's own limits.
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
    """The fallback targets of one model.

    Attributes:
        targets: targets in order.
        first_piece_timeout_s: timeout of the model itself; see `TargetConfig`.
        hedge_after_ms: time without a first chunk after which the next target is called as well;
            the faster one answers. None disables hedging.
        tenants: tenants whose calls use the chain; None means all. A provider receives the texts
            of these callers.
    """

    targets: Annotated[tuple[TargetConfig, ...], Field(min_length=1)]
    first_piece_timeout_s: Seconds | None = None
    hedge_after_ms: Annotated[float, Field(gt=0)] | None = None
    tenants: frozenset[str] | None = None


class FallbackConfig(_Section):
    """Section `fallback` of the endpoint's file; without chains it has no effect.

    Attributes:
        chains: requested model → its chain. Names match exactly: a caller who pins ``model@7`` or
            requests ``model:adapter`` gets no other model, unless a chain has that very name.
        providers: providers by name.
        breaker: settings of each target's circuit breaker.
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
