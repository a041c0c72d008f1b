"""Every environment variable, from the fields of the settings."""

from __future__ import annotations

from itertools import groupby

from docs.reference_from_code.markdown import code, table
from enginehouse.settings import Variable, variables

_HEAD = """# Settings

Made from `enginehouse/settings/`. Settings are environment variables and are read once, when a
process starts. A variable of this prefix that nothing reads, or a value that cannot be used,
ends the start with its name. What is configured in YAML instead is in [the endpoint's
file](endpoint-file.md).

"""
#: Class of the settings → heading.
_TITLES = {
    "Settings": "The stack",
    "Addresses": "Addresses",
    "ApiSettings": "The adapter",
    "ReleaseSettings": "Releases",
    "EndpointSettings": "The endpoint",
    "TelemetrySettings": "Traces and logs",
    "ClientSettings": "Clients",
    "MeasurementSettings": "Measurements",
    "SuiteSettings": "The test suite",
    "EngineSettings": "The engine",
}


def page() -> str:
    """The page of all variables."""
    groups = groupby(variables(), key=lambda each: each.group)
    return _HEAD + "\n".join(_section(name, list(members)) for name, members in groups)


def _section(name: str, members: list[Variable]) -> str:
    rows = [
        [code(each.name), each.takes, code(each.default), each.description.replace("``", "`")]
        for each in members
    ]
    head = f"## {_TITLES.get(name, name)}\n\n"
    return head + table(["variable", "give", "default", "meaning"], rows)
