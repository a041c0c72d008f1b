"""Section `observability` of the endpoint's file.

Settings that both adapter and engine need are environment variables: `enginehouse.telemetry`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ObservabilityConfig(BaseModel):
    """Detail of metrics.

    Attributes:
        tenant_labels: number of tenants with a label of their own in metrics; all further ones
            share the label ``other``.
        tenants: names of tenants that always have a label of their own.
    """

    model_config = ConfigDict(extra="forbid")

    tenant_labels: Annotated[int, Field(ge=0)] = 100
    tenants: tuple[str, ...] = ()
