from __future__ import annotations

import pytest
from enginehouse.api.call import Call, ServedBy
from enginehouse.api.caller import Caller
from enginehouse.api.tracing.context import RequestContext, set_request
from enginehouse.gateway.tracing.bounded import BoundedLabels
from enginehouse.gateway.tracing.call_metrics import CallMetrics
from enginehouse.gateway.tracing.measured import UNROUTED, Measured
from prometheus_client import CollectorRegistry, generate_latest

from enginehouse.errors import EngineUnavailableError, RateLimitError
from tests.gateway.tracing.calls import SECRET, answering, make_call, run


class Bench:
    """The stage with a registry of its own."""

    def __init__(self, most_tenants: int = 10) -> None:
        self.registry = CollectorRegistry()
        self.stage = Measured(CallMetrics(self.registry), BoundedLabels(most_tenants))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def requests(self, model: str, code: str, tenant: str = "default") -> float | None:
        return self.value(
            "enginehouse_requests_by_tenant_total", tenant=tenant, model=model, code=code
        )


def _tenant(call: Call, tenant: str) -> Call:
    call.caller = Caller(tenant, key_id="k")
    return call


def test_an_answer_is_counted_with_its_tokens_and_its_cost() -> None:
    bench, call = Bench(), _tenant(make_call(), "acme")
    call.cost_micros = 2_500_000
    assert len(run([bench.stage], call, answering())) == 3
    assert bench.requests("m", "200", "acme") == 1
    both = {"tenant": "acme", "model": "m"}
    assert bench.value("enginehouse_tokens_by_tenant_total", kind="prompt", **both) == 7
    assert bench.value("enginehouse_tokens_by_tenant_total", kind="completion", **both) == 3
    assert bench.value("enginehouse_cost_by_tenant_total", **both) == 2.5
    source = {"model": "m", "version": "3", "source": "engine"}
    assert bench.value("enginehouse_answers_by_source_total", **source) == 1


def test_latencies_have_the_names_of_the_conventions() -> None:
    bench = Bench()
    run([bench.stage], make_call(model="m@3"), answering())
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "enginehouse",
        "gen_ai_request_model": "m@3",
        "gen_ai_response_model": "m",
        "version": "3",
        "source": "engine",
    }
    name = "gen_ai_server_request_duration_seconds_count"
    assert bench.value(name, error_type="", **labels) == 1
    for name in ("time_to_first_token", "time_per_output_token"):
        assert bench.value(f"gen_ai_server_{name}_seconds_count", **labels) == 1


def test_a_refusal_before_routing_makes_no_label_of_the_name_that_was_asked_for() -> None:
    bench = Bench()
    with pytest.raises(RateLimitError):
        run(
            [bench.stage],
            make_call(model=SECRET),
            answering([], RateLimitError("no"), served=None),
        )
    assert bench.requests(UNROUTED, "429") == 1
    assert SECRET not in generate_latest(bench.registry).decode()


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (EngineUnavailableError("gone"), "503", "engine_unavailable"),
        (ValueError("x"), "500", "internal_error"),
    ],
)
def test_failures_are_counted_by_their_status(error: Exception, code: str, kind: str) -> None:
    bench = Bench()
    with pytest.raises(type(error)):
        run([bench.stage], make_call(), answering(error=error))
    assert bench.requests("m", code) == 1
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "enginehouse",
        "gen_ai_request_model": "m",
        "gen_ai_response_model": "m",
        "version": "3",
        "source": "engine",
    }
    name = "gen_ai_server_request_duration_seconds_count"
    assert bench.value(name, error_type=kind, **labels) == 1
    assert bench.value("gen_ai_server_time_to_first_token_seconds_count", **labels) is None


def test_a_caller_who_goes_is_counted_with_what_it_took() -> None:
    bench = Bench()
    run([bench.stage], make_call(), answering(), most=1)
    assert bench.requests("m", "499") == 1
    tokens = {"tenant": "default", "model": "m", "kind": "prompt"}
    assert bench.value("enginehouse_tokens_by_tenant_total", **tokens) == 7
    assert bench.value("enginehouse_answers_by_source_total", model="m") is None


def test_tenants_beyond_the_bound_share_a_label() -> None:
    bench = Bench(most_tenants=1)
    for tenant in ("a", "b", "c"):
        run([bench.stage], _tenant(make_call(), tenant), answering())
    assert bench.requests("m", "200", "a") == 1
    assert bench.requests("m", "200", "other") == 2


def test_the_request_learns_what_its_log_line_says() -> None:
    request = RequestContext("req-1")
    before = set_request(request)
    try:
        run([Bench().stage], make_call(), answering(served=ServedBy("m", None, None, "cache")))
    finally:
        set_request(before)
    assert request.facts == {
        "code": "200",
        "tenant": "default",
        "model": "m",
        "version": None,
        "source": "cache",
        "prompt_tokens": 7,
        "completion_tokens": 3,
    }
