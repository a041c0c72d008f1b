"""Settings: read once from the environment, typed, refused by name when wrong."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from enginehouse.errors import SettingsError

_PREFIX = "ENGINEHOUSE_"


@dataclass(frozen=True)
class Addresses:
    """Where the stack listens. Every default is loopback."""

    host: str = "127.0.0.1"
    api_port: int = 8080
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002

    @property
    def ports(self) -> dict[str, int]:
        """Environment variable → port, for messages that name both."""
        return {
            f"{_PREFIX}API_PORT": self.api_port,
            f"{_PREFIX}TRITON_HTTP_PORT": self.triton_http_port,
            f"{_PREFIX}TRITON_GRPC_PORT": self.triton_grpc_port,
            f"{_PREFIX}TRITON_METRICS_PORT": self.triton_metrics_port,
        }

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
    """Limits and deadlines of the adapter."""

    max_body_bytes: int = 1_048_576
    request_timeout_s: float = 600.0
    first_token_timeout_s: float = 120.0
    between_tokens_timeout_s: float = 10.0
    ready_cache_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process.

    Attributes:
        home: directory of all state (``ENGINEHOUSE_HOME``).
        mlflow_tracking_uri: ``None`` means embedded: SQLite and files under `home`.
        compat_model: the model that is served under NVIDIA's bare names too
            (``ENGINEHOUSE_COMPAT_NAMES``).
    """

    home: Path
    addresses: Addresses = field(default_factory=Addresses)
    api: ApiSettings = field(default_factory=ApiSettings)
    mlflow_tracking_uri: str | None = None
    compat_model: str | None = None

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
    def references_dir(self) -> Path:
        """Reference results of checkpoints, for proofs."""
        return self.home / "references"

    @property
    def logs_dir(self) -> Path:
        """Logs of Triton and the adapter."""
        return self.home / "logs"

    @property
    def reports_dir(self) -> Path:
        """Benchmark reports."""
        return self.home / "reports"

    @property
    def registry_uri(self) -> str:
        """MLflow tracking and registry URI; SQLite under `home` by default."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'registry' / 'mlflow.db'}"


def load_settings(environ: Mapping[str, str], *, cwd: Path) -> Settings:
    """Read settings from an environment.

    Args:
        environ: usually ``os.environ``.
        cwd: directory in which the default home ``.enginehouse`` lies.

    Raises:
        SettingsError: naming the variable, its value and what it takes.
    """
    host = environ.get(f"{_PREFIX}HOST", Addresses.host)
    addresses = Addresses(
        host=_loopback(host),
        api_port=_port(environ, "API_PORT", Addresses.api_port),
        triton_http_port=_port(environ, "TRITON_HTTP_PORT", Addresses.triton_http_port),
        triton_grpc_port=_port(environ, "TRITON_GRPC_PORT", Addresses.triton_grpc_port),
        triton_metrics_port=_port(environ, "TRITON_METRICS_PORT", Addresses.triton_metrics_port),
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
    )
    home = Path(environ.get(f"{_PREFIX}HOME") or cwd / ".enginehouse").expanduser()
    return Settings(
        home=home if home.is_absolute() else (cwd / home).resolve(),
        addresses=addresses,
        api=api,
        mlflow_tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None,
        compat_model=environ.get(f"{_PREFIX}COMPAT_NAMES") or None,
    )


def _loopback(host: str) -> str:
    """Refuse to leave the loopback: there are no keys yet that would guard the endpoint."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise SettingsError(
            f"ENGINEHOUSE_HOST={host!r}: only loopback addresses are served, since the "
            "endpoint has no keys; use 127.0.0.1 and put a proxy with authentication in front"
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
