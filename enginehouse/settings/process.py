"""All settings of one process of the stack, and where its files are."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from enginehouse.settings.groups import (
    CONFIG,
    PREFIX,
    Addresses,
    ApiSettings,
    Bool,
    EndpointSettings,
    ReleaseSettings,
    TelemetrySettings,
)
from enginehouse.settings.rules import File, OneLine, TrackingUri, Url, Urls, Whole
from enginehouse.sqlite_urls import sqlite_url

_MOST_REPLICAS = 100


@dataclass(frozen=True, slots=True, config=CONFIG)
class Settings:
    """All settings of one process of the stack, and where its files are."""

    home: Annotated[Path, File("a folder")] = Field(
        description="Folder of all state; `.enginehouse` in the working directory if unset."
    )
    addresses: Addresses = field(default_factory=Addresses)
    api: ApiSettings = field(default_factory=ApiSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    mlflow_tracking_uri: Annotated[str | None, TrackingUri("http://127.0.0.1:5000")] = Field(
        default=None,
        repr=False,
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow's tracking and registry URI; SQLite and files under the home if unset.",
    )
    compat_model: Annotated[str | None, OneLine("the name of a served model")] = Field(
        default=None,
        validation_alias=PREFIX + "COMPAT_NAMES",
        description="The model that is served under NVIDIA's bare names too.",
    )
    compat_decoupled: Bool = Field(
        default=True,
        description="NVIDIA's `decoupled_mode` of those names: streams, or one response a request.",
    )
    unary: Bool = Field(
        default=True,
        description="Whether each text generator has a `<model>.whole`, which answers once.",
    )
    replicas: Annotated[int, Whole(1, _MOST_REPLICAS, "a number of replicas")] = Field(
        default=1, description="Triton replicas that `up` starts on this host."
    )
    fleet: Annotated[str | None, OneLine("where the replicas are, see docs/rollouts.md")] = Field(
        default=None,
        description="Where the replicas are: `host:port` with commas between them, "
        "`dns:host:port` or `kubernetes:namespace/service:port`; those that `up` starts if unset.",
    )
    adapters: Annotated[tuple[str, ...], Urls("http://adapter-0:8080,http://adapter-1:8080")] = (
        Field(
            default=(),
            description="Base URLs of the adapters whose samples the controller reads, with commas "
            "between them; the local one if unset.",
        )
    )
    environment: Annotated[str | None, OneLine("a name such as staging")] = Field(
        default=None, description="Prefix of the registered models' names, for example `staging`."
    )
    prometheus_url: Annotated[str | None, Url("http://127.0.0.1:9090")] = Field(
        default=None, repr=False, description="Prometheus that rollouts' own metrics are asked of."
    )
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

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
