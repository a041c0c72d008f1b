"""Load drivers. All of them send the same prompts at the same times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from enginehouse.client import Target
from enginehouse.perf.aiperf.run import AIPERF, run_aiperf
from enginehouse.perf.guidellm.run import GUIDELLM, run_guidellm
from enginehouse.perf.load.entry_points import open_entry_point
from enginehouse.perf.load.generator import closed_loop, open_loop
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.perf_analyzer.install import PerfAnalyzer, install, required
from enginehouse.perf.perf_analyzer.run import run_perf_analyzer
from enginehouse.perf.profile import EntryPoint
from enginehouse.perf.python_tool import PythonTool

from enginehouse.errors import SettingsError
from enginehouse.settings import Addresses

DRIVERS = ("perf_analyzer", "enginehouse", "aiperf", "guidellm")
#: Drivers that are external tools and have to be installed.
INSTALLED = ("perf_analyzer", "aiperf", "guidellm")

_PYTHON_TOOLS: dict[str, PythonTool] = {"aiperf": AIPERF, "guidellm": GUIDELLM}
_RUN = {"aiperf": run_aiperf, "guidellm": run_guidellm}

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of one run.

    Attributes:
        details: figures that the driver printed, for the report.
    """

    records: Sequence[RequestRecord]
    details: Mapping[str, object] = field(default_factory=dict)


class Driver(Protocol):
    """Sends a load to an entry point and returns a record of each request."""

    @property
    def name(self) -> str:
        """The name for `--driver`."""

    @property
    def version(self) -> str:
        """The version for the report."""

    def run(self, load: OfferedLoad) -> Ran:
        """Send all requests of a load.

        Raises:
            ServingError: if the run has no measurement.
        """


class OwnDriver:
    """Enginehouse's own generator, see `enginehouse.perf.load`."""

    name = "enginehouse"
    version = "of this package"

    def __init__(
        self, entry_point: EntryPoint, addresses: Addresses, target: Target, api_key: str | None
    ) -> None:
        self._open = partial(open_entry_point, entry_point, addresses, target, api_key=api_key)

    def run(self, load: OfferedLoad) -> Ran:
        """See `Driver`; a failed request is a record with an error."""
        return Ran(asyncio.run(self._run(load)))

    async def _run(self, load: OfferedLoad) -> list[RequestRecord]:
        async with self._open() as send:
            if isinstance(load.schedule, int):
                return await closed_loop(send, load.prompts, int(load.level))
            return await open_loop(send, load.prompts, load.schedule)


class PerfAnalyzerDriver:
    """NVIDIA's perf_analyzer."""

    name = "perf_analyzer"

    def __init__(
        self, tool: PerfAnalyzer, entry_point: EntryPoint, addresses: Addresses, target: Target
    ) -> None:
        self.version = f"{tool.version()} ({tool.origin})"
        self._tool, self._entry_point = tool, entry_point
        self._addresses, self._target = addresses, target

    def run(self, load: OfferedLoad) -> Ran:
        """See `Driver`; a failed request fails the run."""
        outcome = run_perf_analyzer(
            self._tool,
            self._entry_point,
            self._addresses,
            self._target,
            load,
        )
        details = {
            "command": outcome.command,
            "printed_requests_per_s": outcome.printed_requests_per_s,
            "printed_latency_ms": outcome.printed_latency_ms,
        }
        return Ran(outcome.records, details)


class PythonToolDriver:
    """aiperf or guidellm, which use an OpenAI endpoint; their `export` says what they record."""

    def __init__(
        self, name: str, tools: Path, addresses: Addresses, target: Target, api_key: str | None
    ) -> None:
        tool = _PYTHON_TOOLS[name]
        tool.argv(tools)  # raises if it is not installed
        self.name, self.version = name, tool.version
        self._run = partial(_RUN[name], tools, addresses, target, api_key=api_key)

    def run(self, load: OfferedLoad) -> Ran:
        """See `Driver`; a failed request is a record with an error."""
        outcome = self._run(load)
        return Ran(outcome.records, outcome.details)


def check_driver(name: str, entry_point: EntryPoint, api_key: str | None) -> None:
    """Check that a driver exists and supports the entry point and the key.

    Raises:
        SettingsError: says what to use instead.
    """
    if name not in DRIVERS:
        raise SettingsError(f"no driver {name!r}; there are: {', '.join(DRIVERS)}")
    if name in _PYTHON_TOOLS and entry_point != "adapter":
        raise SettingsError(
            f"{name} asks OpenAI endpoints only: use `--entry-point adapter`, or "
            f"`--driver enginehouse` for the entry point {entry_point}"
        )
    if name == "perf_analyzer" and api_key is not None and entry_point == "adapter":
        raise SettingsError(
            "perf_analyzer takes a key only among its arguments, where every user of this "
            "host could read it: use `--driver aiperf`, `guidellm` or `enginehouse`, or another "
            "entry point"
        )


def install_driver(name: str, tools: Path, environ: Mapping[str, str], report: Report) -> str:
    """Install a driver's tool if it is not installed; return a description of it.

    Raises:
        SettingsError: if the name is unknown, or the driver needs no installation.
        StackError: if it cannot be installed on this host.
    """
    if name in _PYTHON_TOOLS:
        tool = _PYTHON_TOOLS[name]
        tool.install(tools, report)
        return f"{name} {tool.version} ({tool.home(tools)})"
    if name == "perf_analyzer":
        found = install(tools, environ, report)
        return f"{found.version()} ({found.origin})"
    raise SettingsError(f"no {name!r} to install; there are: {', '.join(INSTALLED)}")


def make_driver(
    name: str,
    entry_point: EntryPoint,
    addresses: Addresses,
    target: Target,
    *,
    tools: Path,
    api_key: str | None,
) -> Driver:
    """Create the driver with a name.

    Args:
        name: one of `DRIVERS`.
        entry_point: the entry point.
        addresses: of the stack.
        target: model and version.
        tools: directory of the installed tools.
        api_key: key for the adapter, if it needs one.

    Raises:
        SettingsError: if the name is unknown, or the driver does not support the request.
        StackError: if it is not installed.
    """
    check_driver(name, entry_point, api_key)
    if name == "perf_analyzer":
        return PerfAnalyzerDriver(required(tools), entry_point, addresses, target)
    if name in _PYTHON_TOOLS:
        return PythonToolDriver(name, tools, addresses, target, api_key)
    return OwnDriver(entry_point, addresses, target, api_key)
