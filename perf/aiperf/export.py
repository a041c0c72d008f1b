"""Reads request records from aiperf's `profile_export.jsonl`, one line for each request.

Times are those of chunks: the first one with text, and the gaps between all of them. A chunk may
carry several tokens; the total number of tokens comes from the server's usage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.workload import Trace

_NS = 1e-9
_MS = 1e-3


def records_of(lines: Iterable[str], load: OfferedLoad) -> list[RequestRecord]:
    """A record for each request, in the order of the load."""
    rows = [json.loads(line) for line in lines if line.strip()]
    rows.sort(key=_place)
    if not rows:
        return []
    if isinstance(load.schedule, int):
        began = min(_seconds(row, "request_start_ns") for row in rows)
        return [_record(row, _seconds(row, "request_start_ns") - began, began) for row in rows]
    due = [load.schedule[_place(row)] for row in rows]
    # The start of its clock is unknown: assume that the least delayed request was on time.
    began = min(
        _seconds(row, "credit_issued_ns") - due_s for row, due_s in zip(rows, due, strict=True)
    )
    return [_record(row, due_s, began) for row, due_s in zip(rows, due, strict=True)]


def _place(row: dict[str, Any]) -> int:
    return int(row["metadata"]["conversation_id"])


def _seconds(row: dict[str, Any], name: str) -> float:
    return _NS * int(row["metadata"][name])


def _record(row: dict[str, Any], due_s: float, began: float) -> RequestRecord:
    sent_s = _seconds(row, "request_start_ns") - began
    error = _error(row)
    if error is not None:
        return RequestRecord(due_s, sent_s, None, error=error)
    metrics = row["metrics"]
    first = _MS * metrics["time_to_first_token"]["value"]
    gaps = metrics.get("inter_chunk_latency", {}).get("value", [])
    arrivals = list(accumulate((_MS * gap for gap in gaps), initial=first))
    trace = Trace(arrivals, int(metrics["output_sequence_length"]["value"]))
    return RequestRecord(due_s, sent_s, trace, int(metrics["input_sequence_length"]["value"]))


def _error(row: dict[str, Any]) -> str | None:
    """The reason of a failure: the server's message if there is one; None if it did not fail."""
    error = row.get("error")
    if error is not None:
        said = str(error.get("message") or error.get("type"))
        try:
            return str(json.loads(said)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return said
    if row["metadata"]["was_cancelled"]:
        return "aiperf cancelled the request"
    needed = {"time_to_first_token", "output_sequence_length", "input_sequence_length"}
    return None if needed <= row["metrics"].keys() else "an answer without a token"
