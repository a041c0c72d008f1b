"""The fields of a new key, validated alike for the command line and the admin API."""

from __future__ import annotations

from typing import Annotated

from enginehouse.api.boundary import RequestModel
from enginehouse.api.caller import Role
from pydantic import ConfigDict, Field

_MOST_LIFE_S = 10 * 366 * 86_400.0
_VERSION = r"(@[0-9]{1,9})?"
_ADAPTER = r"(:[A-Za-z0-9._-]{1,128})?"
#: A tenant's name: it becomes a metric label, a column in the ledger and part of Redis keys.
TENANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_MODEL_PATTERN = rf"^[a-z0-9]([a-z0-9_-]{{0,61}}[a-z0-9])?{_VERSION}{_ADAPTER}$"
#: Any text on one line.
_NOTE_PATTERN = r"^[^\x00-\x1f\x7f]*$"

ModelEntry = Annotated[str, Field(pattern=_MODEL_PATTERN)]


class KeyRequest(RequestModel):
    """A new key.

    Attributes:
        roles: what it allows.
        models: models that it may use, such as ``smollm2`` or ``smollm2@8``; None means all.
        expires_in_s: seconds until it expires; None means never.
        note: free text for operators.
    """

    model_config = ConfigDict(frozen=True)

    tenant: Annotated[str, Field(pattern=TENANT_PATTERN)]
    roles: Annotated[frozenset[Role], Field(min_length=1)] = frozenset({Role.INFERENCE})
    models: Annotated[frozenset[ModelEntry], Field(min_length=1, max_length=100)] | None = None
    expires_in_s: Annotated[float, Field(gt=0.0, le=_MOST_LIFE_S, allow_inf_nan=False)] | None = (
        None
    )
    note: Annotated[str, Field(max_length=200, pattern=_NOTE_PATTERN)] = ""
