"""Section `responses` of the endpoint's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ResponsesConfig(BaseModel):
    """How long stored responses live.

    Attributes:
        keep_s: seconds from a response's end, or from the end of the last one that continues it,
            until it is forgotten; 30 days.
        sweep_every_s: seconds between two removals of what is past its time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_s: Annotated[float, Field(gt=0)] = 2_592_000.0
    sweep_every_s: Annotated[float, Field(gt=0)] = 3_600.0
