"""Exposures to A/B experiments, as lines of the journal."""

from __future__ import annotations

import time

from enginehouse.gateway.journal.line_buffer import LineBuffer

from enginehouse.traffic import RequestSample
from enginehouse.traffic.exposures import Exposure
from enginehouse.traffic.treatments import Treatment

_EXPOSURES, _SAMPLES = "exposures", "samples-experiments"


class ExposureLog:
    """Writes exposures and the samples of exposed requests; nobody waits for it."""

    def __init__(self, lines: LineBuffer) -> None:
        self._lines = lines

    def exposed(self, treatment: Treatment, request_id: str, model: str, version: int) -> None:
        """A request is about to be answered on an arm."""
        line = Exposure(
            at=time.time(),
            experiment=treatment.experiment,
            arm=treatment.arm.name,
            unit=treatment.unit,
            request_id=request_id,
            model=model,
            version=version,
        )
        self._lines.add(_EXPOSURES, line.model_dump_json())

    def ended(self, sample: RequestSample) -> None:
        """An exposed request has ended."""
        self._lines.add(_SAMPLES, sample.model_dump_json())
