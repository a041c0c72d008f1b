"""Section `audit` of the endpoint's file."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_MIB = 1_048_576


class AuditContent(StrEnum):
    """What a record contains of the prompt and the answer."""

    NONE = "none"
    DIGEST = "digest"
    TEXT = "text"


class OnFull(StrEnum):
    """What happens to calls while the trail cannot be written."""

    CONTINUE = "continue"
    STOP = "stop"


class Fsync(StrEnum):
    """When written records are synced to the disk."""

    NEVER = "never"
    SECOND = "second"
    EACH = "each"


class AuditConfig(BaseModel):
    """Section `audit` of the endpoint's file; see docs/audit.md.

    Attributes:
        enabled: whether calls are recorded.
        content: ``none``, ``digest`` (keyed) or ``text`` of prompt and answer.
        on_full: ``continue`` answers calls and counts lost records, ``stop`` answers 503.
        fsync: ``never``, ``second`` (a power cut loses at most one second of records) or
            ``each`` (after each write; one write contains all queued records).
        rotate_bytes: size at which a new file is begun; a new file is also begun each day.
        queue_records: most queued records.
        queue_bytes: most bytes of their texts.
        retry_s: time between two attempts after a failed write, in seconds.
        instance: first part of the files' names. Adapters that share a directory append a number.
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
