"""Reads request records from guidellm's report.

The report has the times of the first and the last chunk with text only, and the server's count of
tokens. Time to first token, mean time between tokens and total time are therefore exact; the gaps
between responses are unknown. For a refused request it has the status, but not the message.
"""

from __future__ import annotations

import re
from typing import Any

from enginehouse.perf.guidellm.inputs import LEAD_S
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_KINDS = ("successful", "errored", "incomplete")
_STATUS = re.compile(r"(?:Client|Server) error '([^']+)'")


def records_of(report: dict[str, Any], load: OfferedLoad) -> list[RequestRecord]:
    """A record for each request, in the order of sending.

    Raises:
        ServingError: if the report contains no benchmark.
    """
    benchmarks = report.get("benchmarks") or []
    if not benchmarks:
        raise ServingError("guidellm's report holds no benchmark")
    requests = [one for kind in _KINDS for one in benchmarks[0]["requests"][kind] or []]
    if isinstance(load.schedule, int):
        records = _closed(requests)
    else:
        records = [_timed(one) for one in requests if _offset_s(one) >= LEAD_S]
    return sorted(records, key=lambda record: record.sent_s)


def _closed(requests: list[dict[str, Any]]) -> list[RequestRecord]:
    began = min((_sent(one) for one in requests), default=0.0)
    return [_record(one, _sent(one) - began, _sent(one) - began) for one in requests]


def _timed(request: dict[str, Any]) -> RequestRecord:
    began = request["info"]["scheduler_start_time"] + LEAD_S
    return _record(request, _offset_s(request) - LEAD_S, _sent(request) - began)


def _offset_s(request: dict[str, Any]) -> float:
    return float(request["info"]["settings"]["relative_timestamp"])


def _sent(request: dict[str, Any]) -> float:
    """Time of sending in seconds since the epoch; the scheduled time if it was never sent."""
    times = request["info"]["timings"]
    found = times["request_start"] or times["resolve_start"] or times["targeted_start"]
    return float(found or request["info"]["scheduler_start_time"])


def _record(request: dict[str, Any], due_s: float, sent_s: float) -> RequestRecord:
    info = request["info"]
    if info["status"] != "completed":
        return RequestRecord(due_s, sent_s, None, error=_error(info))
    times = info["timings"]
    first, last = times["first_token_iteration"], times["last_token_iteration"]
    tokens = request["output_tokens"]
    if first is None or not tokens:
        return RequestRecord(due_s, sent_s, None, error="an answer without a token")
    sent = _sent(request)
    arrivals = [first - sent] if last == first else [first - sent, last - sent]
    return RequestRecord(due_s, sent_s, Trace(arrivals, int(tokens)), request["prompt_tokens"])


def _error(info: dict[str, Any]) -> str:
    said = str(info.get("error") or f"guidellm says no more than: {info['status']}")
    status = _STATUS.search(said)
    return said if status is None else f"the endpoint answered {status[1]}"
