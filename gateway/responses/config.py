"""Section `responses` of the endpoint's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ResponsesConfig(BaseModel):
    """Retention of stored responses.

    Attributes:
        keep_s: seconds for which a response is kept, counted from its end or from the end of the
            last response that continues it; 30 days.
        sweep_every_s: seconds between two removals of expired responses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_s: Annotated[float, Field(gt=0)] = 2_592_000.0
    sweep_every_s: Annotated[float, Field(gt=0)] = 3_600.0
