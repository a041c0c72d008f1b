"""Runs guidellm once with one load."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from enginehouse.client import Target
from enginehouse.perf.guidellm.export import records_of
from enginehouse.perf.guidellm.inputs import REPORT, configuration
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.python_tool import PythonTool, ToolRun, complete, environment, run_tool

from enginehouse.errors import ServingError
from enginehouse.settings import Addresses

GUIDELLM = PythonTool(
    "guidellm",
    "0.8.1",
    "1.5 GB on disk; more where torch is the build for GPUs",
    loose=("torch.txt",),
)

_ARGUMENTS = ("run", "--config", "config.json", "--disable-console")
_CORES_A_WORKER = 4
_PRINTED = {
    "printed_requests_per_s": ("requests_per_second", "mean"),
    "printed_tokens_per_s": ("output_tokens_per_second", "mean"),
    "printed_ttft_p50_ms": ("time_to_first_token_ms", "median"),
    "printed_inter_token_p50_ms": ("inter_token_latency_ms", "median"),
}


def run_guidellm(
    tools: Path,
    addresses: Addresses,
    target: Target,
    load: OfferedLoad,
    *,
    api_key: str | None = None,
) -> ToolRun:
    """Send the prompts through the adapter and read the report.

    Raises:
        StackError: if guidellm is not installed.
        ServingError: with guidellm's output, if records of requests are missing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = configuration(folder, addresses.api_url, target.model, load, api_key=api_key)
        _write_private(folder / "config.json", json.dumps(config))
        said = run_tool([*GUIDELLM.argv(tools), *_ARGUMENTS], folder, _environment(folder))
        report = _report(folder / REPORT, said)
    records = records_of(report, load)
    complete(GUIDELLM.name, records, load, said)
    command = [GUIDELLM.name, *_ARGUMENTS]
    details = {"command": command, "profile": config["spec"]["profile"]}
    # In an open loop its own figures include the first request and the wait after it.
    own = _printed(report) if isinstance(load.schedule, int) else {}
    return ToolRun(records, {**details, **own})


def _write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read, since it may contain the API key.

    The key is passed in a file because other users can read the arguments of a process.
    """
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _environment(folder: Path) -> dict[str, str]:
    # Its default is ten processes, which compete with the measured system on few cores.
    workers = max(1, (os.cpu_count() or 1) // _CORES_A_WORKER)
    return {
        **environment(folder, "GUIDELLM__"),
        "HF_HUB_OFFLINE": "1",
        "GUIDELLM__MAX_WORKER_PROCESSES": str(workers),
    }


def _report(path: Path, said: str) -> dict[str, Any]:
    if not path.is_file():
        raise ServingError(f"guidellm wrote no report:\n{said}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _printed(report: dict[str, Any]) -> dict[str, float]:
    """The figures that guidellm printed, of successful requests."""
    metrics = report["benchmarks"][0]["metrics"]
    return {
        name: metrics[metric]["successful"][figure]
        for name, (metric, figure) in _PRINTED.items()
        if metric in metrics
    }
