"""Settings: read from the environment, typed, all mistakes refused at once and by name.

- `load_settings` reads the settings of a process of the stack, and refuses every ``ENGINEHOUSE_``
  variable that nothing reads.
- `read` reads one group alone, for what runs outside a stack: a client, an engine, a measurement.
- `variables` lists every variable with its description, for the reference.
"""

from __future__ import annotations

from enginehouse.settings.environment import load_settings, read, read_engine_overrides
from enginehouse.settings.groups import (
    REPLICA_PORT_STEP,
    Addresses,
    ApiSettings,
    ClientSettings,
    EndpointSettings,
    MeasurementSettings,
    ReleaseSettings,
    SuiteSettings,
    TelemetrySettings,
)
from enginehouse.settings.overrides import ENGINE_PREFIX
from enginehouse.settings.process import Settings
from enginehouse.settings.variable import Variable, variables

__all__ = [
    "ENGINE_PREFIX",
    "REPLICA_PORT_STEP",
    "Addresses",
    "ApiSettings",
    "ClientSettings",
    "EndpointSettings",
    "MeasurementSettings",
    "ReleaseSettings",
    "Settings",
    "SuiteSettings",
    "TelemetrySettings",
    "Variable",
    "load_settings",
    "read",
    "read_engine_overrides",
    "variables",
]
