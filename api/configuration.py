"""The endpoint's file: one section for each part, all of them optional."""

from __future__ import annotations

from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.audit.config import AuditConfig
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.content.config import ContentConfig
from enginehouse.gateway.fallback.config import FallbackConfig
from enginehouse.gateway.ledger.config import LedgerConfig
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.models.settings import ModelsConfig
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.responses.config import ResponsesConfig
from enginehouse.gateway.tracing.config import ObservabilityConfig
from pydantic import BaseModel, ConfigDict

from enginehouse.errors import SettingsError, SpecError
from enginehouse.settings import Settings
from enginehouse.specifications import checked, read_yaml


class EndpointFile(BaseModel):
    """``endpoint.yaml``; what a section says stands in its own module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access: AccessConfig = AccessConfig()
    limits: LimitsConfig = LimitsConfig()
    ledger: LedgerConfig = LedgerConfig()
    audit: AuditConfig = AuditConfig()
    content: ContentConfig = ContentConfig()
    cache: CacheConfig = CacheConfig()
    fallback: FallbackConfig = FallbackConfig()
    models: ModelsConfig = ModelsConfig()
    prompts: PromptsConfig = PromptsConfig()
    responses: ResponsesConfig = ResponsesConfig()
    batches: BatchesConfig = BatchesConfig()
    observability: ObservabilityConfig = ObservabilityConfig()


def load_endpoint_file(settings: Settings) -> EndpointFile:
    """The configuration; everything by default where there is no file.

    Raises:
        SettingsError: naming the file, the field and its value.
    """
    path = settings.endpoint_file
    if settings.endpoint.file is None and not path.exists():
        return EndpointFile()
    try:
        # An empty file has no sections.
        return checked(EndpointFile, read_yaml(path) or {}, str(path))
    except SpecError as error:
        raise SettingsError(str(error)) from None
