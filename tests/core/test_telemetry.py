from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import SettingsError
from enginehouse.telemetry import LogFormat, Telemetry, TraceParent, open_export, read_telemetry

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_SPAN = "00f067aa0ba902b7"


def test_without_variables_nothing_is_told() -> None:
    assert read_telemetry({}) == Telemetry(None, 1.0, LogFormat.TEXT, access_log=False)
    assert open_export(Telemetry(), "any") is None


@pytest.mark.parametrize(
    "endpoint",
    ["http://collector:4318", "http://collector:4318/", "http://collector:4318/v1/traces"],
)
def test_the_collectors_address_is_its_base_or_the_whole(endpoint: str) -> None:
    found = read_telemetry({"ENGINEHOUSE_OTLP_ENDPOINT": endpoint})
    assert found.traces_url == "http://collector:4318/v1/traces"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENGINEHOUSE_OTLP_ENDPOINT", "collector:4318"),
        ("ENGINEHOUSE_OTLP_ENDPOINT", "http://"),
        ("ENGINEHOUSE_OTLP_SHARE", "1.1"),
        ("ENGINEHOUSE_OTLP_SHARE", "nan"),
        ("ENGINEHOUSE_OTLP_SHARE", "half"),
        ("ENGINEHOUSE_LOG_FORMAT", "xml"),
        ("ENGINEHOUSE_ACCESS_LOG", "yes"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}={value!r}"):
        read_telemetry({variable: value})


@given(trace=st.integers(1, 2**128 - 1), span=st.integers(1, 2**64 - 1), sampled=st.booleans())
def test_a_trace_parent_is_read_as_it_is_written(trace: int, span: int, *, sampled: bool) -> None:
    parent = TraceParent(trace, span, sampled)
    assert TraceParent.parse(str(parent)) == parent


def test_a_later_version_may_say_more() -> None:
    expected = TraceParent(int(_TRACE, 16), int(_SPAN, 16), sampled=True)
    assert TraceParent.parse(f"01-{_TRACE}-{_SPAN}-03-what-comes") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{_TRACE}-{_SPAN}",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{_TRACE}-{_SPAN}-01\n",
    ],
)
def test_what_is_no_trace_parent_is_none(text: str) -> None:
    assert TraceParent.parse(text) is None


def test_opentelemetry_is_not_loaded_where_no_span_is_wanted() -> None:
    code = (
        "import sys; import enginehouse.engine.tracing as t;"
        "assert t.open_spans({}, 'm.tensorrt_llm', '1') is None;"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
