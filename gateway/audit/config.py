"""What the audit trail holds, and what happens when it cannot be written."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_MIB = 1_048_576


class AuditContent(StrEnum):
    """What a record says of the prompt and the answer."""

    NONE = "none"
    DIGEST = "digest"
    TEXT = "text"


class OnFull(StrEnum):
    """What happens to calls while the trail cannot be written."""

    CONTINUE = "continue"
    STOP = "stop"


class Fsync(StrEnum):
    """When what was written is forced to the disk."""

    NEVER = "never"
    SECOND = "second"
    EACH = "each"


class AuditConfig(BaseModel):
    """Section `audit` of the endpoint's file; see docs/audit.md.

    Attributes:
        enabled: whether there is a trail.
        content: ``none``, ``digest`` (keyed) or ``text`` of prompt and answer.
        on_full: ``continue`` answers on and counts what is lost, ``stop`` answers 503.
        fsync: ``never``, ``second`` (at most one second of records is at risk in a power cut) or
            ``each`` (after each write, which carries what has gathered).
        rotate_bytes: a file that is as large as this gets a successor; so does one of yesterday.
        queue_records: most records that wait for the disk.
        queue_bytes: most bytes of their texts.
        retry_s: between two tries to write after one that failed, in seconds.
        instance: first part of the files' names; adapters that share a directory number
            themselves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    content: AuditContent = AuditContent.DIGEST
    on_full: OnFull = OnFull.CONTINUE
    fsync: Fsync = Fsync.SECOND
    rotate_bytes: Annotated[int, Field(ge=4096)] = 64 * _MIB
    queue_records: Annotated[int, Field(ge=1)] = 10_000
    queue_bytes: Annotated[int, Field(ge=1)] = 64 * _MIB
    retry_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    instance: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,62}$")] = "adapter"
