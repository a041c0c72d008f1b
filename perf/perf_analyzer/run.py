"""One run of perf_analyzer at one load."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from enginehouse.client import Target
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.perf_analyzer.export import records_of
from enginehouse.perf.perf_analyzer.inputs import door_arguments, load_arguments, write_inputs
from enginehouse.perf.perf_analyzer.install import PerfAnalyzer
from enginehouse.perf.profile import Door

from enginehouse.errors import ServingError
from enginehouse.settings import Addresses

_EXPORT = "export.json"
_THROUGHPUT = re.compile(r"^\s+Throughput: ([\d.]+) infer/sec", re.MULTILINE)
_LATENCY = re.compile(r"^\s+Avg latency: (\d+) usec", re.MULTILINE)
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class PerfAnalyzerRun:
    """What one run gave.

    Attributes:
        records: from its export.
        command: its arguments, for the report.
        printed_requests_per_s: the throughput that it printed; its windows are whole seconds.
        printed_latency_ms: the mean latency that it printed, to the last response.
    """

    records: list[RequestRecord]
    command: list[str]
    printed_requests_per_s: float
    printed_latency_ms: float


def run_perf_analyzer(
    tool: PerfAnalyzer,
    door: Door,
    addresses: Addresses,
    target: Target,
    load: OfferedLoad,
    *,
    keep: Path | None = None,
) -> PerfAnalyzerRun:
    """Send the prompts and read the export.

    Args:
        keep: a folder for its files, instead of one that is removed.

    Raises:
        ServingError: in perf_analyzer's own words if it fails, which it does with any request.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        arguments = [
            *door_arguments(door, target.model, target.version, addresses),
            *write_inputs(folder, door, target.model, load.prompts),
            *load_arguments(folder, load),
            "--profile-export-file",
            str(folder / _EXPORT),
        ]
        done = subprocess.run(
            [*tool.argv, *arguments], capture_output=True, text=True, check=False, cwd=folder
        )
        export = folder / _EXPORT
        throughput, latency = _THROUGHPUT.search(done.stdout), _LATENCY.search(done.stdout)
        if done.returncode or not export.is_file() or throughput is None or latency is None:
            said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
            raise ServingError("perf_analyzer failed:\n" + "\n".join(said))
        records = records_of(json.loads(export.read_text("utf-8")), door)
    command = ["perf_analyzer", *arguments]
    return PerfAnalyzerRun(records, command, float(throughput[1]), float(latency[1]) / 1000)
