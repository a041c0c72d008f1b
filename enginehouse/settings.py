"""Settings: read once from the environment, typed, refused by name when wrong."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from enginehouse.errors import SettingsError
from enginehouse.origins import parse_origins
from enginehouse.sqlite_urls import sqlite_url
from enginehouse.urls import check_url

_PREFIX = "ENGINEHOUSE_"
_OPEN_WORDS = "i-accept-that-anybody-may-call"
#: Between the Triton ports of two local replicas.
REPLICA_PORT_STEP = 10


@dataclass(frozen=True)
class Addresses:
    """Where the stack listens. Every default is loopback."""

    host: str = "127.0.0.1"
    api_port: int = 8080
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002
    controller_port: int = 8090

    @property
    def ports(self) -> dict[str, int]:
        """Environment variable → port, for messages that name both."""
        return {
            f"{_PREFIX}API_PORT": self.api_port,
            f"{_PREFIX}TRITON_HTTP_PORT": self.triton_http_port,
            f"{_PREFIX}TRITON_GRPC_PORT": self.triton_grpc_port,
            f"{_PREFIX}TRITON_METRICS_PORT": self.triton_metrics_port,
            f"{_PREFIX}CONTROLLER_PORT": self.controller_port,
        }

    @property
    def controller_url(self) -> str:
        """Base URL of the release controller."""
        return f"http://{self.host}:{self.controller_port}"

    def replica(self, index: int) -> Addresses:
        """Addresses of a local replica: each has its Triton ports `REPLICA_PORT_STEP` higher."""
        shift = index * REPLICA_PORT_STEP
        return replace(
            self,
            triton_http_port=self.triton_http_port + shift,
            triton_grpc_port=self.triton_grpc_port + shift,
            triton_metrics_port=self.triton_metrics_port + shift,
        )

    @property
    def api_url(self) -> str:
        """Base URL of the adapter."""
        return f"http://{self.host}:{self.api_port}"

    @property
    def triton_http_url(self) -> str:
        """Base URL of Triton's HTTP port."""
        return f"http://{self.host}:{self.triton_http_port}"

    @property
    def triton_grpc_url(self) -> str:
        """``host:port`` of Triton's gRPC port."""
        return f"{self.host}:{self.triton_grpc_port}"

    @property
    def triton_metrics_url(self) -> str:
        """URL of Triton's Prometheus page, which carries the engine's metrics too."""
        return f"http://{self.host}:{self.triton_metrics_port}/metrics"


@dataclass(frozen=True)
class ApiSettings:
    """Limits and deadlines of the adapter.

    Attributes:
        cors_origins: origins whose pages may call it, ``scheme://host[:port]`` each, or ``*``
            alone (``ENGINEHOUSE_CORS_ORIGINS``, comma between two).
    """

    max_body_bytes: int = 1_048_576
    request_timeout_s: float = 600.0
    first_token_timeout_s: float = 120.0
    between_tokens_timeout_s: float = 10.0
    ready_cache_s: float = 2.0
    pins: bool = True
    samples_kept: int = 50_000
    trace_share: float = 0.0
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReleaseSettings:
    """How versions are released.

    Attributes:
        keep_previous_s: how long `previous` stays loaded after a promotion, to roll back to.
        drain_s: between the last new request of a version and its unloading.
        lease_s: how long the controller's lease lasts without being renewed.
        tick_s: between two looks of the controller at everything.
        webhook_secret_file: file with the secret that MLflow signs its webhooks with.
    """

    keep_previous_s: float = 600.0
    drain_s: float = 5.0
    lease_s: float = 10.0
    tick_s: float = 1.0
    webhook_secret_file: Path | None = None


@dataclass(frozen=True)
class EndpointSettings:
    """Where the endpoint keeps what it shares with other adapters.

    Attributes:
        file: YAML with tenants, prices and stages (``ENGINEHOUSE_ENDPOINT_FILE``), see
            docs/endpoint.md.
        database_url: SQLAlchemy URL (``ENGINEHOUSE_DATABASE_URL``).
        redis_url: limits and cache of several adapters (``ENGINEHOUSE_REDIS_URL``); None keeps
            them in memory.
        keys: whether a key is asked for (``ENGINEHOUSE_KEYS``).
        keys_pepper_file: the secret under which keys are hashed, the same for all adapters on one
            database (``ENGINEHOUSE_KEYS_PEPPER_FILE``); None is a file of `home`.
        open_without_keys: whether to serve other hosts without keys
            (``ENGINEHOUSE_OPEN_WITHOUT_KEYS=i-accept-that-anybody-may-call``).
    """

    file: Path | None = None
    database_url: str | None = None
    redis_url: str | None = None
    keys: bool = False
    keys_pepper_file: Path | None = None
    open_without_keys: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process.

    Attributes:
        home: directory of all state (``ENGINEHOUSE_HOME``).
        mlflow_tracking_uri: ``None`` means embedded: SQLite and files under `home`.
        compat_model: the model that is served under NVIDIA's bare names too
            (``ENGINEHOUSE_COMPAT_NAMES``).
        compat_decoupled: NVIDIA's `decoupled_mode` of those names: streams, or one response a
            request (``ENGINEHOUSE_COMPAT_DECOUPLED``).
        unary: whether each text generator has a `<model>.whole`, which answers once
            (``ENGINEHOUSE_UNARY``).
        replicas: Triton replicas that `up` starts on this host (``ENGINEHOUSE_REPLICAS``).
        fleet: where the replicas are (``ENGINEHOUSE_FLEET``), see `enginehouse.client.discovery`;
            None means those that `up` starts.
        adapters: base URLs of the adapters whose samples the controller reads
            (``ENGINEHOUSE_ADAPTERS``, comma between two); empty means the local one.
        environment: prefix of the registered models' names, see `enginehouse.registry`
            (``ENGINEHOUSE_ENVIRONMENT``).
        prometheus_url: asked by rollouts' own metrics (``ENGINEHOUSE_PROMETHEUS_URL``).
    """

    home: Path
    addresses: Addresses = field(default_factory=Addresses)
    api: ApiSettings = field(default_factory=ApiSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    mlflow_tracking_uri: str | None = None
    compat_model: str | None = None
    compat_decoupled: bool = True
    unary: bool = True
    replicas: int = 1
    fleet: str | None = None
    adapters: tuple[str, ...] = ()
    environment: str | None = None
    prometheus_url: str | None = None
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)

    @property
    def endpoint_file(self) -> Path:
        """How the endpoint is configured; it need not exist unless it was named."""
        return self.endpoint.file or self.home / "endpoint.yaml"

    @property
    def database_url(self) -> str:
        """Keys, usage ledger, stored responses, batches."""
        return self.endpoint.database_url or sqlite_url(self.home / "endpoint.db")

    @property
    def keys_pepper_path(self) -> Path:
        """The secret under which keys are hashed."""
        return self.endpoint.keys_pepper_file or self.home / "keys.pepper"

    @property
    def audit_dir(self) -> Path:
        """The audit trail."""
        return self.home / "audit"

    @property
    def ledger_dir(self) -> Path:
        """Usage on its way to the database."""
        return self.home / "ledger"

    @property
    def files_dir(self) -> Path:
        """Files of `/v1/files`."""
        return self.home / "files"

    @property
    def bundles_dir(self) -> Path:
        """Engine bundles built here."""
        return self.home / "bundles"

    @property
    def cache_dir(self) -> Path:
        """Verified copies of registered bundles, by name and version."""
        return self.home / "cache"

    @property
    def model_repository_dir(self) -> Path:
        """The rendered Triton model repository."""
        return self.home / "model_repository"

    @property
    def routes_dir(self) -> Path:
        """Routes of each model, which the controller renders and adapters follow."""
        return self.home / "routes"

    @property
    def journal_dir(self) -> Path:
        """Exposures, feedback and sampled answers that the adapter writes down."""
        return self.home / "journal"

    @property
    def admin_token_path(self) -> Path:
        """The secret that the controller, the adapter's internal routes and the CLI share."""
        return self.home / "admin.token"

    @property
    def adapter_urls(self) -> tuple[str, ...]:
        """Adapters whose samples are read."""
        return self.adapters or (self.addresses.api_url,)

    @property
    def replica_addresses(self) -> tuple[Addresses, ...]:
        """Addresses of the replicas that `up` starts."""
        return tuple(self.addresses.replica(index) for index in range(self.replicas))

    @property
    def references_dir(self) -> Path:
        """Reference results of checkpoints, for proofs."""
        return self.home / "references"

    @property
    def logs_dir(self) -> Path:
        """Logs of Triton and the adapter."""
        return self.home / "logs"

    @property
    def tools_dir(self) -> Path:
        """Tools that are not Python packages of ours, such as perf_analyzer."""
        return self.home / "tools"

    @property
    def reports_dir(self) -> Path:
        """Benchmark reports."""
        return self.home / "reports"

    @property
    def registry_uri(self) -> str:
        """MLflow tracking and registry URI; SQLite under `home` by default."""
        return self.mlflow_tracking_uri or sqlite_url(self._registry_file)

    @property
    def registry_exists(self) -> bool:
        """Whether there is a registry already; a server is taken to be one."""
        return self.mlflow_tracking_uri is not None or self._registry_file.exists()

    @property
    def _registry_file(self) -> Path:
        return self.home / "registry" / "mlflow.db"


def load_settings(environ: Mapping[str, str], *, cwd: Path) -> Settings:
    """Read settings from an environment.

    Args:
        environ: usually ``os.environ``.
        cwd: directory in which the default home ``.enginehouse`` lies.

    Raises:
        SettingsError: naming the variable, its value and what it takes.
    """
    host = environ.get(f"{_PREFIX}HOST", Addresses.host)
    endpoint = _endpoint(environ)
    addresses = Addresses(
        host=_guarded(host, endpoint),
        api_port=_port(environ, "API_PORT", Addresses.api_port),
        triton_http_port=_port(environ, "TRITON_HTTP_PORT", Addresses.triton_http_port),
        triton_grpc_port=_port(environ, "TRITON_GRPC_PORT", Addresses.triton_grpc_port),
        triton_metrics_port=_port(environ, "TRITON_METRICS_PORT", Addresses.triton_metrics_port),
        controller_port=_port(environ, "CONTROLLER_PORT", Addresses.controller_port),
    )
    _refuse_shared_ports(addresses)
    api = ApiSettings(
        max_body_bytes=int(_number(environ, "MAX_BODY_BYTES", ApiSettings.max_body_bytes)),
        request_timeout_s=_number(environ, "REQUEST_TIMEOUT_S", ApiSettings.request_timeout_s),
        first_token_timeout_s=_number(
            environ, "FIRST_TOKEN_TIMEOUT_S", ApiSettings.first_token_timeout_s
        ),
        between_tokens_timeout_s=_number(
            environ, "BETWEEN_TOKENS_TIMEOUT_S", ApiSettings.between_tokens_timeout_s
        ),
        ready_cache_s=_number(environ, "READY_CACHE_S", ApiSettings.ready_cache_s),
        pins=_switch(environ, "PINS", default=ApiSettings.pins),
        samples_kept=int(_number(environ, "SAMPLES_KEPT", ApiSettings.samples_kept)),
        trace_share=_share(environ, "TRACE_SHARE"),
        cors_origins=parse_origins(
            f"{_PREFIX}CORS_ORIGINS", environ.get(f"{_PREFIX}CORS_ORIGINS") or ""
        ),
    )
    adapters = environ.get(f"{_PREFIX}ADAPTERS") or ""
    home = Path(environ.get(f"{_PREFIX}HOME") or cwd / ".enginehouse").expanduser()
    return Settings(
        home=home if home.is_absolute() else (cwd / home).resolve(),
        addresses=addresses,
        api=api,
        mlflow_tracking_uri=_url(environ, "MLFLOW_TRACKING_URI"),
        compat_model=environ.get(f"{_PREFIX}COMPAT_NAMES") or None,
        compat_decoupled=_switch(environ, "COMPAT_DECOUPLED", default=True),
        unary=_switch(environ, "UNARY", default=True),
        release=_release(environ),
        replicas=int(_number(environ, "REPLICAS", 1)),
        fleet=environ.get(f"{_PREFIX}FLEET") or None,
        adapters=tuple(url.strip().rstrip("/") for url in adapters.split(",") if url.strip()),
        environment=environ.get(f"{_PREFIX}ENVIRONMENT") or None,
        prometheus_url=_url(environ, f"{_PREFIX}PROMETHEUS_URL"),
        endpoint=endpoint,
    )


def _url(environ: Mapping[str, str], variable: str) -> str | None:
    return check_url(variable, environ.get(variable) or None)


def _release(environ: Mapping[str, str]) -> ReleaseSettings:
    secret = environ.get(f"{_PREFIX}WEBHOOK_SECRET_FILE")
    return ReleaseSettings(
        keep_previous_s=_number(environ, "KEEP_PREVIOUS_S", ReleaseSettings.keep_previous_s),
        drain_s=_number(environ, "DRAIN_S", ReleaseSettings.drain_s),
        lease_s=_number(environ, "LEASE_S", ReleaseSettings.lease_s),
        tick_s=_number(environ, "TICK_S", ReleaseSettings.tick_s),
        webhook_secret_file=Path(secret) if secret else None,
    )


def _switch(environ: Mapping[str, str], key: str, *, default: bool) -> bool:
    raw = environ.get(_PREFIX + key)
    if not raw:
        return default
    if raw not in {"true", "false"}:
        raise SettingsError(f"{_PREFIX}{key}={raw!r}: give true or false")
    return raw == "true"


def _share(environ: Mapping[str, str], key: str) -> float:
    raw = environ.get(_PREFIX + key)
    if not raw:
        return 0.0
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SettingsError(f"{_PREFIX}{key}={raw!r}: give a share from 0 to 1")
    return value


def _endpoint(environ: Mapping[str, str]) -> EndpointSettings:
    file = environ.get(f"{_PREFIX}ENDPOINT_FILE")
    pepper = environ.get(f"{_PREFIX}KEYS_PEPPER_FILE")
    spoken = environ.get(f"{_PREFIX}OPEN_WITHOUT_KEYS") or ""
    if spoken not in {"", _OPEN_WORDS}:
        raise SettingsError(
            f"{_PREFIX}OPEN_WITHOUT_KEYS={spoken!r}: give {_OPEN_WORDS}, or nothing"
        )
    return EndpointSettings(
        file=Path(file).expanduser() if file else None,
        database_url=_url(environ, f"{_PREFIX}DATABASE_URL"),
        redis_url=_url(environ, f"{_PREFIX}REDIS_URL"),
        keys=_switch(environ, "KEYS", default=False),
        keys_pepper_file=Path(pepper).expanduser() if pepper else None,
        open_without_keys=bool(spoken),
    )


def _guarded(host: str, endpoint: EndpointSettings) -> str:
    """Refuse to leave the loopback without keys, unless told so in words."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not (loopback or endpoint.keys or endpoint.open_without_keys):
        raise SettingsError(
            f"ENGINEHOUSE_HOST={host!r} is not a loopback address, and the endpoint asks for no "
            f"keys: set ENGINEHOUSE_KEYS=true and make a key with `enginehouse keys create`, or "
            f"say ENGINEHOUSE_OPEN_WITHOUT_KEYS={_OPEN_WORDS}"
        )
    return host


def _port(environ: Mapping[str, str], key: str, default: int) -> int:
    raw = environ.get(_PREFIX + key)
    if not raw:
        return default
    if not raw.isdecimal() or not 1 <= int(raw) <= 65535:  # noqa: PLR2004 - the range of a port
        raise SettingsError(f"{_PREFIX}{key}={raw!r}: give a port from 1 to 65535")
    return int(raw)


def _number(environ: Mapping[str, str], key: str, default: float) -> float:
    raw = environ.get(_PREFIX + key)
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise SettingsError(f"{_PREFIX}{key}={raw!r}: give a number above 0")
    return value


def _refuse_shared_ports(addresses: Addresses) -> None:
    seen: dict[int, str] = {}
    for variable, port in addresses.ports.items():
        if port in seen:
            raise SettingsError(f"{variable} and {seen[port]} are both {port}: give each its own")
        seen[port] = variable
