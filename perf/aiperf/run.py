"""Runs aiperf once with one load."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from enginehouse.client import Target
from enginehouse.perf.aiperf.export import records_of
from enginehouse.perf.aiperf.inputs import ARTIFACTS, configuration
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.python_tool import (
    KEY_VARIABLE,
    PythonTool,
    ToolRun,
    complete,
    environment,
    run_tool,
)

from enginehouse.lines import split_lines
from enginehouse.settings import Addresses

AIPERF = PythonTool("aiperf", "0.13.0", "1.2 GB on disk")

_ARGUMENTS = ("profile", "--config", "config.json")
_PRINTED = {
    "printed_requests_per_s": ("request_throughput", "avg"),
    "printed_tokens_per_s": ("output_token_throughput", "avg"),
    "printed_ttft_p50_ms": ("time_to_first_token", "p50"),
    "printed_inter_token_p50_ms": ("inter_token_latency", "p50"),
}


def run_aiperf(
    tools: Path,
    addresses: Addresses,
    target: Target,
    load: OfferedLoad,
    *,
    api_key: str | None = None,
) -> ToolRun:
    """Send the prompts through the adapter and read the export.

    Raises:
        StackError: if aiperf is not installed.
        ServingError: with aiperf's output, if records of requests are missing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = configuration(
            folder, addresses.api_url, target.model, load, with_key=api_key is not None
        )
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        # The tokenizer is a local directory, which aiperf ignores if HF_HUB_OFFLINE is set.
        env = environment(folder, "AIPERF_")
        if api_key is not None:
            env[KEY_VARIABLE] = api_key
        said = run_tool([*AIPERF.argv(tools), *_ARGUMENTS], folder, env)
        records = records_of(_lines(folder / ARTIFACTS / "profile_export.jsonl"), load)
        complete(AIPERF.name, records, load, said)
        summary = _summary(folder / ARTIFACTS / "profile_export_aiperf.json")
    command = [AIPERF.name, *_ARGUMENTS]
    return ToolRun(records, {"command": command, "phase": config["benchmark"]["phases"], **summary})


def _lines(path: Path) -> list[str]:
    return split_lines(path.read_bytes().decode("utf-8")) if path.is_file() else []


def _summary(path: Path) -> dict[str, float]:
    """The figures that aiperf printed; empty if every request failed, as it writes no summary."""
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {
        name: found[metric][figure]
        for name, (metric, figure) in _PRINTED.items()
        if metric in found and figure in found[metric]
    }
