"""Groups of settings, as frozen values: each field is one environment variable.

A field's variable is ``ENGINEHOUSE_`` and its name in capitals, unless `validation_alias` names
another. Every field has a description, from which `enginehouse.settings.variables` makes the
reference. Values made in Python go by the fields' names and are checked by the same rules.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AliasGenerator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from enginehouse.settings.rules import (
    File,
    Host,
    Number,
    OneOf,
    Origins,
    Phrase,
    Switch,
    Token,
    Url,
    Whole,
)

PREFIX = "ENGINEHOUSE_"
#: Says that a host other than the loopback may be served without keys.
OPEN_WORDS = "i-accept-that-anybody-may-call"
#: Between the Triton ports of two local replicas.
REPLICA_PORT_STEP = 10
#: Of TCP.
MOST_PORT = 65535
_MOST_SECONDS = 1e9
_MOST_BODY_BYTES = 2**30

CONFIG = ConfigDict(
    alias_generator=AliasGenerator(validation_alias=lambda name: PREFIX + name.upper()),
    validate_by_name=True,
    validate_by_alias=True,
    # A URL may hold a password.
    hide_input_in_errors=True,
)

Port = Annotated[int, Whole(1, MOST_PORT, "a port")]
Seconds = Annotated[float, Number(0, _MOST_SECONDS, "seconds", above=True)]
Share = Annotated[float, Number(0, 1, "a share")]
Bool = Annotated[bool, Switch()]


@dataclass(frozen=True, slots=True, config=CONFIG)
class Addresses:
    """Where the stack listens. Every default is loopback."""

    host: Annotated[str, Host()] = Field(
        default="127.0.0.1",
        description="Address on which the adapter, the controller and Triton listen. Any other "
        "than the loopback asks for keys (`ENGINEHOUSE_KEYS`).",
    )
    api_port: Port = Field(default=8080, description="Port of the chat endpoint (OpenAI API).")
    triton_http_port: Port = Field(
        default=8000,
        description="Triton's HTTP port; each further local replica has its three Triton ports "
        f"{REPLICA_PORT_STEP} higher.",
    )
    triton_grpc_port: Port = Field(default=8001, description="Triton's gRPC port.")
    triton_metrics_port: Port = Field(
        default=8002, description="Port of Triton's Prometheus page, which has the engine's too."
    )
    controller_port: Port = Field(
        default=8090, description="Port of the release controller (API and webhooks)."
    )

    @property
    def ports(self) -> dict[str, int]:
        """Environment variable → port, for messages that name both."""
        return {
            f"{PREFIX}API_PORT": self.api_port,
            f"{PREFIX}TRITON_HTTP_PORT": self.triton_http_port,
            f"{PREFIX}TRITON_GRPC_PORT": self.triton_grpc_port,
            f"{PREFIX}TRITON_METRICS_PORT": self.triton_metrics_port,
            f"{PREFIX}CONTROLLER_PORT": self.controller_port,
        }

    @property
    def controller_url(self) -> str:
        """Base URL of the release controller."""
        return f"http://{self._authority(self.controller_port)}"

    def replica(self, index: int) -> Addresses:
        """Addresses of a local replica: each has its Triton ports `REPLICA_PORT_STEP` higher."""
        http, grpc, metrics = self.replica_ports(index).values()
        return replace(
            self, triton_http_port=http, triton_grpc_port=grpc, triton_metrics_port=metrics
        )

    def replica_ports(self, index: int) -> dict[str, int]:
        """Environment variable of the first replica's Triton port → that of a local replica."""
        shift = index * REPLICA_PORT_STEP
        return {
            f"{PREFIX}TRITON_HTTP_PORT": self.triton_http_port + shift,
            f"{PREFIX}TRITON_GRPC_PORT": self.triton_grpc_port + shift,
            f"{PREFIX}TRITON_METRICS_PORT": self.triton_metrics_port + shift,
        }

    @property
    def api_url(self) -> str:
        """Base URL of the adapter."""
        return f"http://{self._authority(self.api_port)}"

    @property
    def triton_http_url(self) -> str:
        """Base URL of Triton's HTTP port."""
        return f"http://{self._authority(self.triton_http_port)}"

    @property
    def triton_grpc_url(self) -> str:
        """``host:port`` of Triton's gRPC port."""
        return self._authority(self.triton_grpc_port)

    @property
    def triton_metrics_url(self) -> str:
        """URL of Triton's Prometheus page, which carries the engine's metrics too."""
        return f"http://{self._authority(self.triton_metrics_port)}/metrics"

    def _authority(self, port: int) -> str:
        """``host:port``, with the brackets that an IPv6 address has in URLs (RFC 3986, 3.2.2)."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


@dataclass(frozen=True, slots=True, config=CONFIG)
class ApiSettings:
    """Limits and deadlines of the adapter."""

    max_body_bytes: Annotated[int, Whole(1, _MOST_BODY_BYTES, "a number of bytes")] = Field(
        default=1_048_576, description="Largest body of a request; a larger one is refused (413)."
    )
    request_timeout_s: Seconds = Field(
        default=600.0, description="Longest time from a request to the end of its answer."
    )
    first_token_timeout_s: Seconds = Field(
        default=120.0, description="Longest wait for the first token."
    )
    between_tokens_timeout_s: Seconds = Field(
        default=10.0, description="Longest wait between two tokens; then the engine counts as hung."
    )
    ready_cache_s: Seconds = Field(
        default=2.0, description="How long the answer of `/health/ready` is reused."
    )
    pins: Bool = Field(
        default=True, description="Whether clients may pin a version, as in `smollm2@7`."
    )
    samples_kept: Annotated[int, Whole(1, 100_000_000, "a number of samples")] = Field(
        default=50_000,
        description="Outcomes of requests kept for the controller's analyses; older ones go first.",
    )
    trace_share: Share = Field(
        default=0.0,
        description="Share of the requests written to MLflow as traces, with texts redacted.",
    )
    shadow_pairs: Annotated[int, Whole(0, 1_000_000, "a number of pairs")] = Field(
        default=0,
        description="Pairs of a champion's and a shadow's answer kept for each model, redacted; "
        "0 keeps no text.",
    )
    cors_origins: Annotated[tuple[str, ...], Origins()] = Field(
        default=(),
        description="Origins whose pages may call the adapter, with commas between them, or `*`.",
    )


@dataclass(frozen=True, slots=True, config=CONFIG)
class ReleaseSettings:
    """How versions are released."""

    keep_previous_s: Seconds = Field(
        default=600.0,
        description="How long `previous` stays loaded after a promotion, to roll back to.",
    )
    drain_s: Seconds = Field(
        default=5.0, description="Between the last new request of a version and its unloading."
    )
    lease_s: Seconds = Field(
        default=10.0, description="How long the controller's lease lasts without being renewed."
    )
    tick_s: Seconds = Field(
        default=1.0, description="Between two looks of the controller at registry and fleet."
    )
    webhook_secret_file: Annotated[Path | None, File("a file with one secret")] = Field(
        default=None, description="File with the secret that MLflow signs its webhooks with."
    )


@dataclass(frozen=True, slots=True, config=CONFIG)
class EndpointSettings:
    """Where the endpoint keeps what it shares with other adapters."""

    file: Annotated[Path | None, File("a YAML file")] = Field(
        default=None,
        validation_alias=PREFIX + "ENDPOINT_FILE",
        description="YAML with tenants, prices and stages, see docs/endpoint.md; "
        "`endpoint.yaml` under the home if it exists.",
    )
    database_url: Annotated[
        str | None, Url("postgresql+psycopg2://user:password@127.0.0.1:5432/enginehouse")
    ] = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL of keys, ledger, responses and batches; SQLite under the home "
        "if unset.",
    )
    redis_url: Annotated[str | None, Url("redis://127.0.0.1:6379/0")] = Field(
        default=None,
        repr=False,
        description="Redis for limits and cache of several adapters; in memory if unset.",
    )
    keys: Bool = Field(default=False, description="Whether callers need a key.")
    keys_pepper_file: Annotated[Path | None, File("a file with one secret")] = Field(
        default=None,
        description="The secret under which keys are hashed, the same for all adapters on one "
        "database; `keys.pepper` under the home if unset.",
    )
    open_without_keys: Annotated[bool, Phrase(OPEN_WORDS)] = Field(
        default=False, description="Whether to serve other hosts without keys."
    )


@dataclass(frozen=True, slots=True, config=CONFIG)
class TelemetrySettings:
    """What a process tells of its own work; the adapter and the engine both read it."""

    otlp_endpoint: Annotated[
        str | None, Url("http://127.0.0.1:4318, the collector's", ("http", "https"))
    ] = Field(
        default=None,
        repr=False,
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP); no spans if unset.",
    )
    otlp_share: Share = Field(
        default=1.0, description="Share of the traces begun here that are kept."
    )
    log_format: Annotated[str, OneOf(("text", "json"))] = Field(
        default="text", description="How the adapter's log lines are written."
    )
    access_log: Bool = Field(default=False, description="Whether each request has a log line.")


@dataclass(frozen=True, slots=True, config=CONFIG)
class ClientSettings:
    """What the command line and the clients in Python send."""

    api_key: Annotated[str | None, Token("a key as `enginehouse keys create` printed it")] = Field(
        default=None, repr=False, description="Key that is sent to the adapter."
    )


@dataclass(frozen=True, slots=True, config=CONFIG)
class MeasurementSettings:
    """Read by measurements alone; a serving stack passes them on to its engines."""

    debian_mirror: Annotated[str | None, Url("http://mirror.example/debian", ("http", "https"))] = (
        Field(
            default=None,
            description="Debian mirror for `enginehouse perf install`; the one of apt if unset.",
        )
    )
    perf_step_ms: Annotated[float, Number(0, 60_000, "milliseconds")] = Field(
        default=2.5, description="Step of the runtime `token_generator`."
    )
    perf_held_tokens: Annotated[int | None, Whole(1, 10**9, "a number of tokens")] = Field(
        default=None,
        description="Requests of the runtime `token_generator` for at least so many tokens get one "
        "and then wait.",
    )
    perf_slowdown: Annotated[float, Number(0, 1000, "a share")] = Field(
        default=0.0,
        description="By which share the runtime `slowed_openvino` makes each step longer; 0.1 is "
        "a tenth.",
    )


@dataclass(frozen=True, slots=True, config=CONFIG)
class SuiteSettings:
    """Read by the project's own tests."""

    test_bundles: Annotated[Path | None, File("a folder")] = Field(
        default=None, description="Folder in which test runs share the bundles that they build."
    )
