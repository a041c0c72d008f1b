"""Follows requests that are on an experiment's arm."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.api.call import Attempted
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.exposures.log import ExposureLog

from enginehouse.traffic import RequestSample


@dataclass(frozen=True, slots=True)
class Exposures:
    """Has exposures written, and what came of them; see `Observer`."""

    log: ExposureLog

    def begin(self, attempt: Attempted) -> _Exposed | None:
        """A request is about to be answered on an arm; None if it is on none."""
        if attempt.treatment is None:
            return None
        self.log.exposed(attempt.treatment, attempt.call.id, attempt.model, attempt.version)
        return _Exposed(self.log)


@dataclass(frozen=True, slots=True)
class _Exposed:
    log: ExposureLog

    def see(self, piece: TextChunk) -> None:
        """Nothing: text is not written here."""

    def end(self, sample: RequestSample) -> None:
        self.log.ended(sample)
