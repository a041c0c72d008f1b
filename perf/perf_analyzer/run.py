"""Runs perf_analyzer once with one load."""

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
from enginehouse.perf.perf_analyzer.inputs import (
    entry_point_arguments,
    load_arguments,
    write_inputs,
)
from enginehouse.perf.perf_analyzer.install import PerfAnalyzer
from enginehouse.perf.profile import EntryPoint

from enginehouse.errors import ServingError
from enginehouse.settings import Addresses

_EXPORT = "export.json"
_THROUGHPUT = re.compile(r"^\s+Throughput: ([\d.]+) infer/sec", re.MULTILINE)
_LATENCY = re.compile(r"^\s+Avg latency: (\d+) usec", re.MULTILINE)
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class PerfAnalyzerRun:
    """The result of one run.

    Attributes:
        records: records of its export.
        command: its arguments, for the report.
        printed_requests_per_s: printed throughput, measured in windows of whole seconds.
        printed_latency_ms: printed mean latency to the last response.
    """

    records: list[RequestRecord]
    command: list[str]
    printed_requests_per_s: float
    printed_latency_ms: float


def run_perf_analyzer(
    tool: PerfAnalyzer,
    entry_point: EntryPoint,
    addresses: Addresses,
    target: Target,
    load: OfferedLoad,
    *,
    keep: Path | None = None,
) -> PerfAnalyzerRun:
    """Send the prompts and read the export.

    Args:
        tool: the installed perf_analyzer.
        entry_point: the entry point.
        addresses: of the stack.
        target: model and version.
        load: the requests.
        keep: folder for its files; by default a temporary one.

    Raises:
        ServingError: with perf_analyzer's output if it fails, as it does if any request fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        arguments = [
            *entry_point_arguments(entry_point, target.model, target.version, addresses),
            *write_inputs(folder, entry_point, target.model, load.prompts),
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
        records = records_of(json.loads(export.read_text("utf-8")), entry_point)
    command = ["perf_analyzer", *arguments]
    return PerfAnalyzerRun(records, command, float(throughput[1]), float(latency[1]) / 1000)
