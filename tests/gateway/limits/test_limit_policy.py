"""Which limits hold for whom, and how they are said."""

from __future__ import annotations

import pytest
from enginehouse.api.call import PRIORITIES
from enginehouse.api.caller import Caller
from enginehouse.gateway.limits.answers import duration, write_headers
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.policy import LimitPolicy, wanted
from enginehouse.gateway.limits.store import LimitKind, LimitStatus
from pydantic import ValidationError

_CONFIG = LimitsConfig.model_validate(
    {
        "default": {"requests_per_minute": 60, "concurrent": 4},
        "tenants": {
            "big": {"requests_per_minute": 600, "weight": 3, "most_priority": "high"},
            "free": {"concurrent": None, "priority": "low"},
        },
        "keys": {"k1": {"requests_per_minute": 5}, "k2": {"priority": "low"}},
    }
)
_POLICY = LimitPolicy(_CONFIG)


def test_a_tenant_takes_from_the_default_what_it_does_not_say():
    assert _POLICY.tenant("big").concurrent == 4
    assert _POLICY.tenant("free").concurrent is None
    assert _POLICY.tenant("free").requests_per_minute == 60
    assert _POLICY.tenant("unknown").requests_per_minute == 60


def test_a_key_is_limited_by_itself_and_with_its_tenant():
    rules = _POLICY.rules(Caller("big", "k1"))
    items = wanted("h", rules, {LimitKind.REQUESTS: 1}, place=True)
    assert [rate.capacity for rate in items.rates] == [600, 5]
    assert [places.capacity for places in items.places] == [4]
    keys = {rate.key for rate in items.rates} | {places.key for places in items.places}
    assert len(keys) == 3
    assert {key[: key.index("}") + 1] for key in keys} == {"enginehouse:limits:{big}"}


def test_tenants_that_are_not_named_have_counts_of_their_own():
    one, two = (_POLICY.rules(Caller(name))[0] for name in ("one", "two"))
    assert one.limits == two.limits
    assert one.prefix != two.prefix


def test_a_tenant_cannot_choose_another_place_in_the_store():
    prefix = _POLICY.rules(Caller("a}:{b"))[0].prefix
    assert prefix.count("{") == prefix.count("}") == 1


@pytest.mark.parametrize(
    ("tenant", "key", "wish", "given"),
    [
        ("default", None, "normal", "normal"),
        ("default", None, "high", "normal"),
        ("default", None, "low", "low"),
        ("big", None, "high", "high"),
        ("big", "k1", "high", "high"),
        ("big", "k2", "normal", "low"),
        ("big", "k2", "high", "normal"),
        ("free", None, "normal", "low"),
    ],
)
def test_nobody_gets_a_higher_class_than_is_allowed(
    tenant: str, key: str | None, wish: str, given: str
):
    assert _POLICY.priority(Caller(tenant, key), PRIORITIES[wish]) == PRIORITIES[given]


def test_nothing_is_wanted_where_nothing_is_limited():
    rules = LimitPolicy(LimitsConfig()).rules(Caller())
    assert not wanted("h", rules, {LimitKind.REQUESTS: 1, LimitKind.TOKENS: 9}, place=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"default": {"requests_per_minute": 0}},
        {"default": {"priority": "urgent"}},
        {"tenants": {"a": {"weight": 0}}},
        {"keys": {"k": {"weight": 2}}},
        {"on_store_failure": "hope"},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        LimitsConfig.model_validate(wrong)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.1199, "120ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (58.2, "59s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (3725.5, "1h2m6s"),
    ],
)
def test_durations_read_as_clients_expect_them(seconds: float, text: str):
    assert duration(seconds) == text


def test_headers_show_the_limit_that_has_least_left():
    headers: dict[str, str] = {}
    levels = [
        LimitStatus(LimitKind.REQUESTS, 600, 99, 30.0),
        LimitStatus(LimitKind.REQUESTS, 5, 4, 1.0),
    ]
    write_headers(headers, levels)
    assert headers == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "1s",
    }


def test_labels_are_bounded_whoever_calls():
    labels = TenantLabels((f"t{index}" for index in range(10)), most=4)
    assert [labels.of(name) for name in ("default", "t0", "t2", "t3", "x")] == [
        "default", "t0", "t2", "other", "other",
    ]  # fmt: skip
