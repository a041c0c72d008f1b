"""What each variable takes: the rule of its kind, for every variable of that kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import SettingsError
from enginehouse.settings import (
    ApiSettings,
    ClientSettings,
    Settings,
    Variable,
    load_settings,
    read,
    variables,
)

_CWD = Path("/somewhere")
_NOT_WHOLE = [
    "0.5",
    "1e3",
    "1.0",
    "\u0661",
    "\uff11",
    "1_000",
    " 5",
    "5 ",
    "0x10",
    "+5",
    "",
    "five",
    "9" * 5000,
]
_NOT_NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1_0.0",
    "\u0660.\u0665",
    " 1",
    "1 ",
    "1,5",
    "-1",
    "half",
]
_NOT_SWITCHES = ["yes", "no", "1", "0", "on", "off", "TRUE", "t", "true ", "nein"]


def _taking(*beginnings: str) -> list[Variable]:
    return [found for found in variables() if found.takes.startswith(beginnings)]


_WHOLE = _taking("a port", "a number of", "a whole number")
_NUMBERS = _taking("seconds", "a share", "milliseconds", "a number above")
_SWITCHES = _taking("true or false")


def _told(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, cwd=_CWD)
    return str(caught.value)


def _id(found: Variable) -> str:
    return found.name


def test_all_kinds_are_tried_here() -> None:
    figures = {v.name for v in variables() if re.fullmatch(r"\d+(\.\d+)?", v.default or "")}
    assert figures <= {v.name for v in (*_WHOLE, *_NUMBERS)}
    switches = {v.name for v in variables() if v.default in {"true", "false"}}
    assert switches <= {v.name for v in _SWITCHES}


@pytest.mark.parametrize("variable", _WHOLE, ids=_id)
def test_an_integer_is_decimal_digits_within_named_bounds(variable: Variable) -> None:
    least, most = variable.takes.split(" from ")[1].split(" to ")
    for value in (*_NOT_WHOLE, str(int(least) - 1), str(int(most) + 1)):
        if value:
            told = _told({variable.name: value})
            assert told == f"{variable.name}={value!r}: give {variable.takes}"
    for value in (least, most):
        load_settings({variable.name: value, "ENGINEHOUSE_FLEET": "host:1"}, cwd=_CWD)


@pytest.mark.parametrize("variable", _NUMBERS, ids=_id)
def test_a_number_is_finite_ascii_and_in_its_range(variable: Variable) -> None:
    for value in _NOT_NUMBERS:
        assert _told({variable.name: value}) == f"{variable.name}={value!r}: give {variable.takes}"
    for value in ("0.5", ".5", "1", "5e-1"):
        load_settings({variable.name: value}, cwd=_CWD)


@pytest.mark.parametrize("variable", _SWITCHES, ids=_id)
def test_a_switch_is_true_or_false_as_documented(variable: Variable) -> None:
    for value in _NOT_SWITCHES:
        assert _told({variable.name: value}) == f"{variable.name}={value!r}: give {variable.takes}"
    for value in ("true", "false"):
        load_settings({variable.name: value}, cwd=_CWD)


@pytest.mark.parametrize("variable", variables(), ids=_id)
def test_an_empty_variable_is_an_unset_one(variable: Variable) -> None:
    assert load_settings({variable.name: ""}, cwd=_CWD) == load_settings({}, cwd=_CWD)


@pytest.mark.parametrize("variable", [v for v in variables() if v.default is not None], ids=_id)
def test_the_default_that_the_reference_shows_is_the_default(variable: Variable) -> None:
    assert variable.default is not None
    shown = load_settings({variable.name: variable.default}, cwd=_CWD)
    assert shown == load_settings({}, cwd=_CWD)


@pytest.mark.parametrize("variable", variables(), ids=_id)
def test_every_variable_is_described(variable: Variable) -> None:
    assert variable.description.endswith(".")
    assert variable.takes


def test_all_mistakes_are_told_at_once() -> None:
    told = _told(
        {
            "ENGINEHOUSE_REPLICAS": "0.5",
            "ENGINEHOUSE_REPLICA": "2",
            "ENGINEHOUSE_ENGINE_MAX_BATCH": "1e3",
            "ENGINEHOUSE_API_PORT": "8090",
            "ENGINEHOUSE_HOST": "0.0.0.0",
            "ENGINEHOUSE_TICK_S": "0",
        }
    )
    assert told.splitlines()[0] == "6 settings cannot be used:"
    for wanted in (
        "ENGINEHOUSE_REPLICAS='0.5': give a number of replicas from 1 to 100",
        "did you mean ENGINEHOUSE_REPLICAS?",
        "ENGINEHOUSE_ENGINE_MAX_BATCH='1e3': give a whole number from 1 to 1024",
        "ENGINEHOUSE_CONTROLLER_PORT and ENGINEHOUSE_API_PORT are both 8090",
        "ENGINEHOUSE_HOST='0.0.0.0' is not a loopback address",
        "ENGINEHOUSE_TICK_S='0': give seconds above 0",
    ):
        assert wanted in told


def test_a_wrong_value_causes_no_second_complaint() -> None:
    wrong = {"ENGINEHOUSE_HOST": "0.0.0.0", "ENGINEHOUSE_KEYS": "yes"}
    assert _told(wrong) == "ENGINEHOUSE_KEYS='yes': give true or false"


@given(
    st.dictionaries(
        st.sampled_from([v.name for v in variables()]),
        st.one_of(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            st.integers().map(str),
            st.floats().map(str),
            st.sampled_from(["true", "8000", "http://a", "~x", "*", "host:1", "tcp://10.0.0.1:80"]),
        ),
        max_size=4,
    )
)
def test_whatever_is_given_is_read_or_refused_by_name(environ: dict[str, str]) -> None:
    told = " ".join(environ)
    try:
        load_settings(environ, cwd=_CWD)
    except SettingsError as error:
        told = str(error)
    assert not environ or any(name in told for name in environ)


@pytest.mark.parametrize("value", ["eh abc", "eh\nabc", "cl\u00e9", "eh\tabc"])
def test_a_secret_is_not_shown(value: str) -> None:
    for told in (_told({"ENGINEHOUSE_API_KEY": value}), _told({"ENGINEHOUSE_APIKEY": value})):
        assert value not in told
        assert "ENGINEHOUSE_API_KEY" in told
    with pytest.raises(SettingsError, match=r"ENGINEHOUSE_API_KEY=\*\*\*: give a key"):
        read(ClientSettings, {"ENGINEHOUSE_API_KEY": value})


def test_settings_print_no_credentials() -> None:
    secret = "zQ7xW"
    names = [
        "MLFLOW_TRACKING_URI",
        "ENGINEHOUSE_DATABASE_URL",
        "ENGINEHOUSE_REDIS_URL",
        "ENGINEHOUSE_PROMETHEUS_URL",
        "ENGINEHOUSE_OTLP_ENDPOINT",
    ]
    environ = dict.fromkeys(names, f"http://maria:{secret}@host/db")
    assert secret not in repr(load_settings(environ, cwd=_CWD))
    assert secret not in repr(read(ClientSettings, {"ENGINEHOUSE_API_KEY": secret}))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENGINEHOUSE_REDIS_URL", "localhost:6379"),
        ("ENGINEHOUSE_DATABASE_URL", "endpoint.db"),
        ("ENGINEHOUSE_PROMETHEUS_URL", "http://host:port/"),
        ("ENGINEHOUSE_PROMETHEUS_URL", "http://[::1/"),
        ("ENGINEHOUSE_DEBIAN_MIRROR", "ftp://mirror.example/debian"),
        ("ENGINEHOUSE_OTLP_ENDPOINT", "https://"),
        ("ENGINEHOUSE_HOST", "http://127.0.0.1"),
        ("ENGINEHOUSE_HOST", "localhost:8080"),
        ("ENGINEHOUSE_HOST", " 127.0.0.1"),
        ("ENGINEHOUSE_HOST", "local host"),
        ("ENGINEHOUSE_LOG_FORMAT", "JSON"),
        ("ENGINEHOUSE_COMPAT_NAMES", "a\nb"),
    ],
)
def test_what_cannot_work_is_refused_at_start(variable: str, value: str) -> None:
    assert f"{variable}={value!r}: give " in _told({variable: value})


@pytest.mark.parametrize("value", ["adapter-0:8080", "http://a,b:80", "redis://a:1", "http://"])
def test_adapters_are_base_urls(value: str) -> None:
    wrong = value.rsplit(",", maxsplit=1)[-1].rstrip("/")
    assert f"ENGINEHOUSE_ADAPTERS={wrong!r}: give a URL" in _told({"ENGINEHOUSE_ADAPTERS": value})
    given_as = {"ENGINEHOUSE_ADAPTERS": " http://a:1/ ,https://b,"}
    assert load_settings(given_as, cwd=_CWD).adapters == ("http://a:1", "https://b")


def test_paths_follow_the_home_directory_and_the_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/maria")
    environ = {
        "ENGINEHOUSE_HOME": "state/x",
        "ENGINEHOUSE_ENDPOINT_FILE": "~/endpoint.yaml",
        "ENGINEHOUSE_WEBHOOK_SECRET_FILE": "~/secret",
        "ENGINEHOUSE_KEYS_PEPPER_FILE": "/run/pepper",
    }
    settings = load_settings(environ, cwd=_CWD)
    assert settings.home == _CWD / "state/x"
    assert settings.endpoint_file == Path("/home/maria/endpoint.yaml")
    assert settings.release.webhook_secret_file == Path("/home/maria/secret")
    assert settings.keys_pepper_path == Path("/run/pepper")
    told = _told({"ENGINEHOUSE_HOME": "~no-such-user/x"})
    assert told.startswith("ENGINEHOUSE_HOME='~no-such-user/x': give the path of a folder")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"ENGINEHOUSE_REPLICAS": "9"}, "replica 9 would have port 8080, which is ENGINEHOUSE_API"),
        (
            {"ENGINEHOUSE_REPLICAS": "2", "ENGINEHOUSE_TRITON_HTTP_PORT": "65530"},
            "replica 2 would have port 65540, above 65535: lower ENGINEHOUSE_TRITON_HTTP_PORT",
        ),
    ],
)
def test_ports_of_further_replicas_are_looked_at(environ: dict[str, str], told: str) -> None:
    assert told in _told(environ)
    assert load_settings(environ | {"ENGINEHOUSE_FLEET": "host:1"}, cwd=_CWD)


def test_an_ipv6_address_has_brackets_in_urls() -> None:
    at = load_settings({"ENGINEHOUSE_HOST": "::1"}, cwd=_CWD).addresses
    assert at.api_url == "http://[::1]:8080"
    assert at.triton_grpc_url == "[::1]:8001"


def test_values_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match="give a number of samples from 1"):
        ApiSettings(samples_kept=0)
    with pytest.raises(ValueError, match="give a number of replicas"):
        Settings(home=Path("/x"), replicas=True)
