from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.stack.overrides import override_settings

from enginehouse.errors import NameRefusedError, SettingsError
from enginehouse.manifest import EngineSettings
from enginehouse.names import check_model_name
from enginehouse.settings import load_settings

_CWD = Path("/somewhere")


def test_defaults_are_loopback_and_under_the_clone() -> None:
    settings = load_settings({}, cwd=_CWD)
    assert settings.home == _CWD / ".enginehouse"
    assert settings.addresses.api_url == "http://127.0.0.1:8080"
    assert sorted(settings.addresses.ports.values()) == [8000, 8001, 8002, 8080, 8090]


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ENGINEHOUSE_API_PORT": "http"}, "ENGINEHOUSE_API_PORT='http'"),
        ({"ENGINEHOUSE_TRITON_GRPC_PORT": "70000"}, "ENGINEHOUSE_TRITON_GRPC_PORT='70000'"),
        ({"ENGINEHOUSE_API_PORT": "8000"}, "are both 8000"),
        ({"ENGINEHOUSE_REQUEST_TIMEOUT_S": "-1"}, "ENGINEHOUSE_REQUEST_TIMEOUT_S='-1'"),
        ({"ENGINEHOUSE_REQUEST_TIMEOUT_S": "nan"}, "ENGINEHOUSE_REQUEST_TIMEOUT_S='nan'"),
        ({"ENGINEHOUSE_HOST": "0.0.0.0"}, "ENGINEHOUSE_HOST='0.0.0.0'"),
        ({"ENGINEHOUSE_KEYS": "yes"}, "ENGINEHOUSE_KEYS='yes'"),
        ({"ENGINEHOUSE_OPEN_WITHOUT_KEYS": "true"}, "ENGINEHOUSE_OPEN_WITHOUT_KEYS='true'"),
    ],
)
def test_a_bad_value_is_refused_by_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, cwd=_CWD)
    assert named in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "gpu-1.internal", "localhost.evil"])
def test_other_hosts_are_served_with_keys_or_when_told_so_in_words(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ENGINEHOUSE_HOST": host, "ENGINEHOUSE_KEYS": "false"}, cwd=_CWD)
    for way_out in (
        "ENGINEHOUSE_KEYS=true",
        "enginehouse keys create",
        "ENGINEHOUSE_OPEN_WITHOUT_KEYS=i-accept-that-anybody-may-call",
    ):
        assert way_out in str(caught.value)
    with_keys = {"ENGINEHOUSE_HOST": host, "ENGINEHOUSE_KEYS": "true"}
    assert load_settings(with_keys, cwd=_CWD).addresses.host == host
    open_to_all = {
        "ENGINEHOUSE_HOST": host,
        "ENGINEHOUSE_OPEN_WITHOUT_KEYS": "i-accept-that-anybody-may-call",
    }
    assert load_settings(open_to_all, cwd=_CWD).endpoint.open_without_keys


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_on_loopback_no_key_is_asked_for(host: str) -> None:
    settings = load_settings({"ENGINEHOUSE_HOST": host}, cwd=_CWD)
    assert not settings.endpoint.keys
    assert settings.keys_pepper_path == _CWD / ".enginehouse" / "keys.pepper"


def test_engine_settings_are_overridden_by_the_environment() -> None:
    environ = {"ENGINEHOUSE_ENGINE_MAX_BATCH": "7", "ENGINEHOUSE_ENGINE_PREFIX_CACHING": "false"}
    settings = override_settings(EngineSettings(), environ)
    assert (settings.max_batch, settings.prefix_caching) == (7, False)


@pytest.mark.parametrize(
    ("key", "value"), [("MAX_BATCH", "many"), ("MAXBATCH", "4"), ("PRECISION_HINT", "fp8")]
)
def test_a_bad_engine_setting_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"ENGINEHOUSE_ENGINE_{key}"):
        override_settings(EngineSettings(), {f"ENGINEHOUSE_ENGINE_{key}": value})


@pytest.mark.parametrize("name", ["smollm2", "a", "qwen-2_5", "7b"])
def test_usable_names(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Smol", "a.b", "a/b", "a:b", "a@8", "-a", "a b", "a" * 64, "é"]
)
def test_names_that_something_on_the_path_cannot_carry(name: str) -> None:
    with pytest.raises(NameRefusedError):
        check_model_name(name)
