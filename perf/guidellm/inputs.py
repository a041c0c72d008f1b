"""Writes a load as guidellm's configuration and data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.python_tool import (
    REQUEST_TIMEOUT_S,
    due_times,
    write_lines,
    write_tokenizer,
)

REPORT = "report.json"
#: guidellm needs about a second for its first request, which delays the next ones. In an open loop
#: a request of one token is therefore sent first, and the measured requests follow after this time.
LEAD_S = 5.0
_FIRST = {
    "messages": [{"role": "user", "content": "Hello"}],
    "output_tokens_count": 1,
    "relative_timestamp": 0.0,
}


def configuration(
    folder: Path, url: str, model: str, load: OfferedLoad, *, api_key: str | None
) -> dict[str, Any]:
    """The content of guidellm's `--config`; writes its data set and tokenizer into `folder`."""
    rows = _rows(load)
    return {
        "spec": {
            "backend": _backend(url, model, api_key),
            "profile": _profile(load),
            "data": [{"kind": "json_file", "path": write_lines(folder / "prompts.jsonl", rows)}],
            # All prompts are read before the first is sent.
            "data_loader": {"kind": "pytorch", "samples": len(rows)},
            "tokenizer": {"kind": "huggingface_auto", "model": write_tokenizer(folder)},
            "constraints": [{"kind": "max_requests", "count": len(rows)}],
            # Leave prompts and answers out of the report.
            "metrics": {"kind": "generative", "sample_size": 0},
            "outputs": [{"kind": "json", "path": str(folder / REPORT)}],
        }
    }


def _rows(load: OfferedLoad) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [] if isinstance(load.schedule, int) else [_FIRST]
    for prompt, due in due_times(load):
        row: dict[str, object] = {
            "messages": [{"role": "user", "content": prompt.user}],
            "output_tokens_count": prompt.max_tokens,
        }
        rows.append(row if due is None else {**row, "relative_timestamp": LEAD_S + due})
    return rows


def _backend(url: str, model: str, api_key: str | None) -> dict[str, Any]:
    # If a row has a number of tokens, guidellm sends `ignore_eos`.
    backend = {
        "kind": "openai_http",
        "target": url,
        "model": model,
        "http2": False,
        "timeout": REQUEST_TIMEOUT_S,
        "extras": {"body": {"temperature": 0}},
    }
    return backend if api_key is None else {**backend, "api_key": api_key}


def _profile(load: OfferedLoad) -> dict[str, Any]:
    """The profile: a closed loop, or requests at the times of the load's schedule."""
    if isinstance(load.schedule, int):
        return {"kind": "concurrent", "streams": [int(load.level)]}
    return {"kind": "replay", "schedule_turn": "timestamp"}
