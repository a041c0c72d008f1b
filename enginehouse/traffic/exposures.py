"""Exposures: which unit saw which arm; the adapter writes them, the analysis reads them.

Lines of JSON in files that are only appended to. Several adapters may share a directory: each
line is one write, and a line that a crash cut off is passed over.
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

#: Names of the journals, below `Settings.journal_dir`; ``*`` is one adapter's own word.
EXPOSURES = "exposures*.jsonl"
EXPERIMENT_SAMPLES = "samples-experiments*.jsonl"
FEEDBACK = "feedback*.jsonl"


class Exposure(BaseModel):
    """One request that took part in an experiment.

    Attributes:
        at: when it was assigned, seconds since the epoch.
        unit: of the experiment, hashed with its salt: tells units apart and names nobody.
        version: that the request went to.
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
    """A unit in a journal: 16 hexadecimal digits, another for each experiment."""
    key = blake2b(salt.encode()).digest()
    return blake2b(unit.encode(), key=key, digest_size=8, person=b"exposed").hexdigest()


def read_journal(directory: Path, pattern: str, kind: type[_M]) -> Iterator[_M]:
    """Every line of the files that `pattern` matches, oldest file name first."""
    for path in sorted(directory.glob(pattern)):
        skipped = 0
        with path.open("rb") as lines:
            for line in lines:
                try:
                    yield kind.model_validate_json(line)
                except ValidationError:
                    skipped += 1
        if skipped:
            _log.warning("%s: %d lines are not whole and were passed over", path, skipped)
