"""The section `observability` of the endpoint's file.

What both adapter and engine need to know stands in the environment: `enginehouse.telemetry`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ObservabilityConfig(BaseModel):
    """How much detail metrics have.

    Attributes:
        tenant_labels: tenants with a label of their own in metrics, a number; all further ones
            share the label ``other``.
        tenants: tenants that have one whoever comes before them, by name.
    """

    model_config = ConfigDict(extra="forbid")

    tenant_labels: Annotated[int, Field(ge=0)] = 100
    tenants: tuple[str, ...] = ()
