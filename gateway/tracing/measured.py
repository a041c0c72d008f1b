"""The stage that counts whole calls."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enginehouse.api.call import Call, ServedBy
from enginehouse.api.counted_requests import CLIENT_GONE, OK, UNEXPECTED, code_of
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import See
from enginehouse.api.tracing.context import request_of
from enginehouse.gateway.accounting import MICROS_A_UNIT
from enginehouse.gateway.tracing.attributes import PROVIDER, operation_of
from enginehouse.gateway.tracing.bounded import BoundedLabels
from enginehouse.gateway.tracing.call_metrics import CallMetrics

from enginehouse.errors import EnginehouseError, ServingError

#: What a call is counted under that was refused before anybody was found to answer: any name
#: can be asked for, and each would be a label.
UNROUTED = "unrouted"
_UNEXPECTED = "internal_error"
_CLIENT_GONE = "client_gone"


@dataclass(slots=True)
class _Ending:
    """How a call ended, and when its answer began.

    Attributes:
        code: HTTP's status.
        error: OpenTelemetry's `error.type`, empty if there was none.
        first_s, last_s: of `time.perf_counter`.
    """

    code: str = CLIENT_GONE
    error: str = _CLIENT_GONE
    first_s: float | None = None
    last_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Counts each call once, by its end, with what it took; see `CallMetrics`."""

    metrics: CallMetrics
    tenants: BoundedLabels

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[See, None]:
        """See `Watcher`."""
        ending = _Ending()
        request = request_of(call.request_id)

        def see(_: TextChunk) -> None:
            if ending.first_s is None:
                ending.first_s = time.perf_counter()

        try:
            yield see
            ending.code, ending.error = OK, ""
        except EnginehouseError as error:
            code = error.code if isinstance(error, ServingError) else _UNEXPECTED
            ending.code, ending.error = code_of(error), code
            raise
        except Exception:
            ending.code, ending.error = UNEXPECTED, _UNEXPECTED
            raise
        finally:
            ending.last_s = time.perf_counter()
            request.facts.update(facts(call, ending.code))
            self._count(call, ending)
            self._time(call, ending)

    def _count(self, call: Call, ending: _Ending) -> None:
        served = call.served_by
        tenant = self.tenants.label(_tenant(call))
        model = UNROUTED if served is None else served.model
        self.metrics.requests.labels(tenant, model, ending.code).inc()
        tokens = {"prompt": call.usage.prompt_tokens, "completion": call.usage.completion_tokens}
        for kind, count in tokens.items():
            if count:
                self.metrics.tokens.labels(tenant, model, kind).inc(count)
        if call.cost_micros:
            self.metrics.cost.labels(tenant, model).inc(call.cost_micros / MICROS_A_UNIT)
        if served is not None and ending.code == OK:
            self.metrics.answers.labels(model, _version(served), served.source).inc()

    def _time(self, call: Call, ending: _Ending) -> None:
        served = call.served_by
        # The name that was asked for has been found, so there are only so many of them.
        about = ("", "", "", "")
        if served is not None:
            about = (call.asked_model, served.model, _version(served), served.source)
        labels = (operation_of(call.ask.endpoint), PROVIDER, *about)
        duration_s = ending.last_s - call.began
        self.metrics.duration.labels(*labels, ending.error).observe(duration_s)
        tokens = call.usage.completion_tokens
        if ending.code != OK or ending.first_s is None or not tokens:
            return
        self.metrics.first_token.labels(*labels).observe(ending.first_s - call.began)
        if tokens > 1:
            per_token_s = (ending.last_s - ending.first_s) / (tokens - 1)
            self.metrics.per_token.labels(*labels).observe(per_token_s)


def _version(served: ServedBy) -> str:
    return "" if served.version is None else str(served.version)


def _tenant(call: Call) -> str:
    return call.tenant or call.caller.tenant


def facts(call: Call, code: str) -> dict[str, str | int | float | None]:
    """What the access log says of a call; no text of it."""
    served = call.served_by
    return {
        "code": code,
        "tenant": _tenant(call),
        "model": None if served is None else served.model,
        "version": None if served is None else served.version,
        "source": None if served is None else served.source,
        "prompt_tokens": call.usage.prompt_tokens,
        "completion_tokens": call.usage.completion_tokens,
    }
