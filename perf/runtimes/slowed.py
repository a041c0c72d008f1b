"""Runtime `slowed_openvino`: the real engine with each step slowed by a known share.

It tests comparisons with a regression of known size. ``ENGINEHOUSE_PERF_SLOWDOWN`` sets the share:
0.1 makes every step a tenth longer.
"""

from __future__ import annotations

import os
import time

from enginehouse.engine.openvino import OpenVinoRuntime

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings
from enginehouse.settings import MeasurementSettings, read

NAME = "slowed_openvino"
SHARE_VARIABLE = "ENGINEHOUSE_PERF_SLOWDOWN"
_REAL = "openvino"


class SlowedRuntime(OpenVinoRuntime):
    """See `OpenVinoRuntime`."""

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        manifest = bundle.manifest.model_copy(update={"runtime": _REAL})
        super().__init__(Bundle(bundle.path, manifest), settings)
        self._share = read(MeasurementSettings, os.environ).perf_slowdown

    def step(self) -> None:
        """See `Runtime.step`. The added time is proportional to the step's own."""
        began = time.perf_counter()
        super().step()
        until = began + (1 + self._share) * (time.perf_counter() - began)
        # Keep the core busy, as a slower engine would.
        while time.perf_counter() < until:
            pass


def load(bundle: Bundle, settings: EngineSettings) -> SlowedRuntime:
    """Load a bundle; registered in `pyproject.toml`."""
    return SlowedRuntime(bundle, settings)
