"""Writes a load as aiperf's configuration and data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.python_tool import (
    KEY_VARIABLE,
    REQUEST_TIMEOUT_S,
    due_times,
    write_lines,
    write_tokenizer,
)

ARTIFACTS = "artifacts"
_GREEDY = {"temperature": 0, "ignore_eos": True}
#: Checks for a free stream, a second. aiperf's phase `concurrency` polls without a pause, which
#: takes half a core from the measured system. A rate that is never reached makes it wait between
#: checks.
_LOOKS_PER_S = 500


def configuration(
    folder: Path, url: str, model: str, load: OfferedLoad, *, with_key: bool
) -> dict[str, Any]:
    """The content of aiperf's `--config`; writes its data set and tokenizer into `folder`.

    aiperf reads the API key from the environment.
    """
    return {
        "benchmark": {
            "models": {"items": [{"name": model}]},
            "endpoint": _endpoint(url, with_key=with_key),
            "datasets": [_data(folder, load)],
            "phases": [_phase(load)],
            "artifacts": {"dir": str(folder / ARTIFACTS)},
            "tokenizer": {"name": write_tokenizer(folder)},
            "gpu_telemetry": {"enabled": False},
            "server_metrics": {"enabled": False},
            "runtime": {"ui": "none"},
        }
    }


def _endpoint(url: str, *, with_key: bool) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "urls": [url],
        "type": "chat",
        "streaming": True,
        "use_legacy_max_tokens": True,
        "use_server_token_count": True,
        "timeout": REQUEST_TIMEOUT_S,
    }
    if with_key:
        endpoint["api_key"] = f"${{{KEY_VARIABLE}}}"
    return endpoint


def _data(folder: Path, load: OfferedLoad) -> dict[str, str]:
    rows = [
        {
            # aiperf copies this id into the record, which gives the position in the load.
            "session_id": str(place),
            "text": prompt.user,
            "output_length": prompt.max_tokens,
            "extra": _GREEDY,
            **({} if due is None else {"timestamp": 1000 * due}),
        }
        for place, (prompt, due) in enumerate(due_times(load))
    ]
    path = write_lines(folder / "prompts.jsonl", rows)
    return {
        "name": "main",
        "type": "file",
        "path": path,
        "format": "single_turn",
        "sampling": "sequential",
    }


def _phase(load: OfferedLoad) -> dict[str, Any]:
    """The phase: a closed loop, or requests at the times of the load's schedule."""
    phase = {"name": "profiling", "kind": "profiling", "requests": len(load.prompts)}
    if isinstance(load.schedule, int):
        streams = {"concurrency": int(load.level)}
        return {**phase, **streams, "type": "constant", "rate": _LOOKS_PER_S}
    return {**phase, "type": "fixed_schedule"}
