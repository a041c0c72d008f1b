"""Reads request records from perf_analyzer's profile export.

The format is that of `--profile-export-file`: timestamps in nanoseconds since the epoch, one for
each response, and with streaming the responses themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.profile import EntryPoint
from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_NS = 1e-9
_CONTENT = '"delta":{"content"'
_USAGE = re.compile(r'"prompt_tokens":(\d+),"completion_tokens":(\d+)')


def records_of(export: dict[str, Any], entry_point: EntryPoint) -> list[RequestRecord]:
    """A record for each request, in the order of sending.

    Raises:
        ServingError: if the export contains no experiment or no request.
    """
    experiments = export.get("experiments") or []
    if not experiments:
        raise ServingError("perf_analyzer's export holds no experiment")
    requests = sorted(experiments[0]["requests"], key=lambda request: int(request["timestamp"]))
    if not requests:
        raise ServingError("perf_analyzer's export holds no request")
    began = int(requests[0]["timestamp"])
    return [_record(request, began, entry_point) for request in requests]


def _record(request: dict[str, Any], began: int, entry_point: EntryPoint) -> RequestRecord:
    sent = int(request["timestamp"])
    moments = [_NS * (int(moment) - sent) for moment in request["response_timestamps"]]
    outputs = request.get("response_outputs") or []
    sent_s = _NS * (sent - began)
    if entry_point == "adapter":
        trace, prompt_tokens = _from_events(moments, outputs)
    else:
        trace = _from_tensors(moments, outputs, request["request_inputs"], entry_point)
        prompt_tokens = request["request_inputs"].get("input_lengths")
    if not trace.arrivals_s:
        return RequestRecord(sent_s, sent_s, None, error="an answer without a token")
    return RequestRecord(sent_s, sent_s, trace, prompt_tokens)


def _from_events(
    moments: Sequence[float], outputs: Sequence[dict[str, Any]]
) -> tuple[Trace, int | None]:
    """The trace and the prompt tokens from server-sent events; a response may carry several."""
    arrivals = []
    usage = None
    for moment, output in zip(moments, outputs, strict=False):
        text = str(output.get("response", ""))
        arrivals += [moment] * text.count(_CONTENT)
        usage = _USAGE.search(text) or usage
    if usage is None:
        return Trace([], 0), None
    return Trace(arrivals, int(usage[2])), int(usage[1])


def _from_tensors(
    moments: Sequence[float],
    outputs: Sequence[dict[str, Any]],
    inputs: dict[str, Any],
    entry_point: EntryPoint,
) -> Trace:
    arrivals = []
    tokens = 0
    for moment, output in zip(moments, outputs, strict=False):
        count = _tokens(output.get("output_ids")) if entry_point == "tensorrt_llm" else 0
        if count or output.get("text_output"):
            arrivals.append(moment)
            tokens += count
    # Text has no token count; since the end token is ignored, it equals the requested number.
    return Trace(arrivals, tokens if entry_point == "tensorrt_llm" else int(inputs["max_tokens"]))


def _tokens(ids: Any) -> int:
    """Number of tokens: one id is exported as a number, several as a list, none as empty text."""
    if isinstance(ids, list):
        return len(ids)
    return int(isinstance(ids, int))
