"""Exposures: which unit was assigned to which arm. Written by the adapter, read by the analysis.

Stored as JSON Lines in append-only files. Several adapters may share a directory: each line is one
write, and a line truncated by a crash is skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

_log = logging.getLogger(__name__)
_M = TypeVar("_M", bound=BaseModel)

#: File names of the journals below `Settings.journal_dir`; ``*`` identifies the adapter.
EXPOSURES = "exposures*.jsonl"
EXPERIMENT_SAMPLES = "samples-experiments*.jsonl"
FEEDBACK = "feedback*.jsonl"


class Exposure(BaseModel):
    """One request that took part in an experiment.

    Attributes:
        at: when it was assigned, seconds since the epoch.
        unit: hashed with the experiment's salt, so that it is distinct but anonymous.
        version: the version that the request went to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    experiment: str
    arm: str
    unit: str
    request_id: str
    model: str
    version: int


def hashed_unit(salt: str, unit: str) -> str:
    """A unit's pseudonym in a journal: 16 hexadecimal digits, different for each experiment."""
    key = blake2b(salt.encode()).digest()
    return blake2b(unit.encode(), key=key, digest_size=8, person=b"exposed").hexdigest()


def read_journal(directory: Path, pattern: str, kind: type[_M]) -> Iterator[_M]:
    """All records in the files that match `pattern`, in the order of file names."""
    for path in sorted(directory.glob(pattern)):
        skipped = 0
        with path.open("rb") as lines:
            for line in lines:
                try:
                    yield kind.model_validate_json(line)
                except ValidationError:
                    skipped += 1
        if skipped:
            _log.warning("%s: %d incomplete lines were skipped", path, skipped)
