"""The endpoint's file: one section for each part, all of them optional."""

from __future__ import annotations

from enginehouse.api.access.config import AccessConfig
from enginehouse.api.audit.config import AuditConfig
from enginehouse.api.batches.config import BatchesConfig
from enginehouse.api.cache.config import CacheConfig
from enginehouse.api.content.config import ContentConfig
from enginehouse.api.fallback.config import FallbackConfig
from enginehouse.api.ledger.config import LedgerConfig
from enginehouse.api.limits.config import LimitsConfig
from enginehouse.api.model_settings import ModelsConfig
from enginehouse.api.prompts.config import PromptsConfig
from enginehouse.api.responses.config import ResponsesConfig
from enginehouse.api.tracing.config import ObservabilityConfig
from enginehouse.registry.specifications import checked, read_yaml
from pydantic import BaseModel, ConfigDict

from enginehouse.errors import SettingsError, SpecError
from enginehouse.settings import Settings


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
