"""Writes a profile's prompts and loads as perf_analyzer's files and arguments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from enginehouse.perf.load.entry_points import chat_body
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.profile import EntryPoint
from enginehouse.perf.prompts import LoadPrompt

from enginehouse.names import TENSORRT_LLM, part
from enginehouse.settings import Addresses

_INPUTS, _INTERVALS = "inputs.json", "intervals.txt"
#: perf_analyzer refuses an interval of 0 µs.
_LEAST_US = 1


def entry_point_arguments(
    entry_point: EntryPoint, model: str, version: int | None, at: Addresses
) -> list[str]:
    """Arguments for an entry point. Only the engine's entry point takes a version."""
    if entry_point == "adapter":
        # Streaming over HTTP is chosen by the request body; the streaming flag is for gRPC.
        return ["-m", model, "--service-kind", "openai", "--endpoint", "v1/chat/completions",
                "-u", at.api_url, "--async"]  # fmt: skip
    name = part(model, TENSORRT_LLM) if entry_point == "tensorrt_llm" else model
    chosen = ["-x", str(version)] if entry_point == "tensorrt_llm" and version is not None else []
    return ["-m", name, *chosen, "-i", "grpc", "-u", at.triton_grpc_url, "--async", "--streaming"]


def write_inputs(
    folder: Path, entry_point: EntryPoint, model: str, prompts: Sequence[LoadPrompt]
) -> list[str]:
    """Write the prompts, which are sent in this order; return the arguments that name the file."""
    data = [_entry(entry_point, model, prompt) for prompt in prompts]
    path = folder / _INPUTS
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    return ["--input-data", str(path)]


def _entry(entry_point: EntryPoint, model: str, prompt: LoadPrompt) -> dict[str, Any]:
    match entry_point:
        case "adapter":
            return {"payload": [chat_body(model, prompt)]}
        case "ensemble":
            return {
                "text_input": [prompt.rendered],
                "max_tokens": [prompt.max_tokens],
                "end_id": [-1],
                "stream": [True],
                "exclude_input_in_output": [True],
            }
        case "tensorrt_llm":
            ids = list(prompt.input_ids)
            return {
                "input_ids": {"content": ids, "shape": [len(ids)]},
                "input_lengths": [len(ids)],
                "request_output_len": [prompt.max_tokens],
                "end_id": [-1],
                "streaming": [True],
            }


def load_arguments(folder: Path, load: OfferedLoad) -> list[str]:
    """Arguments of a closed loop, or of requests at the times of the load's schedule.

    Poisson arrivals are passed as times too, so that all drivers use the same ones.
    """
    counted = ["--request-count", str(len(load.prompts))]
    if isinstance(load.schedule, int):
        return ["--concurrency-range", str(int(load.level)), *counted]
    gaps = [0.0, *(after - before for before, after in pairwise(load.schedule))]
    lines = [str(max(_LEAST_US, round(1_000_000 * gap))) for gap in gaps]
    path = folder / _INTERVALS
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--request-intervals", str(path), *counted]
