"""Section of the endpoint's file: lookup and rotation of API keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: A revocation made in another adapter takes effect within this time; see
#: `AccessConfig.use_within_s`.
MOST_STALE_S = 5.0
_MOST_GRACE_S = 30 * 86_400.0


class AccessConfig(BaseModel):
    """How keys are looked up and rotated.

    ``ENGINEHOUSE_KEYS`` says whether callers need a key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_after_s: Annotated[float, Field(gt=0.0, lt=MOST_STALE_S)] = 2.0
    """Age, in seconds, at which a key that is in use is read again, beside the requests."""

    use_within_s: Annotated[float, Field(gt=0.0, lt=MOST_STALE_S)] = 4.0
    """Age, in seconds, past which requests wait until the key has been read again. What another
    adapter or the command line revokes is refused here after this time at the latest."""

    rotation_grace_s: Annotated[float, Field(ge=0.0, le=_MOST_GRACE_S)] = 3600.0
    """Seconds for which a key's old secret stays valid after a rotation that names no time."""

    @model_validator(mode="after")
    def _in_order(self) -> AccessConfig:
        if self.refresh_after_s > self.use_within_s:
            raise ValueError(
                f"refresh_after_s is {self.refresh_after_s:g} and use_within_s is "
                f"{self.use_within_s:g}: the first must not be the larger"
            )
        return self
