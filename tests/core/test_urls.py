"""Passwords are never shown, whatever characters they have and whoever repeats the URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from enginehouse.registry import Registry
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import RegistryError, SettingsError
from enginehouse.settings import Settings, load_settings
from enginehouse.telemetry import read_telemetry
from enginehouse.urls import check_url, redacted, shown

_SCHEMES = ["http", "https", "postgresql+psycopg2", "redis", "rediss", "mysql", "s3", "grpc"]
#: Long enough to be told from the rest; any characters around it.
_CORE = "zQ7xW"
_PASSWORDS = st.builds(lambda before, after: f"{before}{_CORE}{after}", st.text(), st.text())
_VARIABLES = [
    "MLFLOW_TRACKING_URI", "ENGINEHOUSE_DATABASE_URL", "ENGINEHOUSE_REDIS_URL",
    "ENGINEHOUSE_PROMETHEUS_URL",
]  # fmt: skip


@given(scheme=st.sampled_from(_SCHEMES), password=_PASSWORDS, quoted=st.booleans())
def test_a_url_is_shown_with_its_address_and_without_its_password(
    scheme: str, password: str, *, quoted: bool
) -> None:
    written = quote(password, safe="", errors="replace") if quoted else password
    url = f"{scheme}://maria:{written}@db.example:5432/name"
    assert shown(url) == f"{scheme}://***@db.example:5432/name"
    for text in (f"cannot open {url}: no route", f"'{url}' ({url})", url):
        assert _CORE not in redacted(text, url)
        assert "db.example" in redacted(text, url)


@given(_PASSWORDS.filter(lambda word: not any(c.isspace() for c in word)))
def test_a_url_that_nobody_knew_of_is_redacted_in_a_text(password: str) -> None:
    found = redacted(f"see (https://u:{password}@host/x) and more")
    assert _CORE not in found
    assert found.startswith("see (https://***@host/x)")
    assert found.endswith(" and more")


@pytest.mark.parametrize(
    "url", ["sqlite:////home/a@b/x.db", "http://host:80/path", "unix:///run/x.sock", "no url @ all"]
)
def test_what_has_no_credentials_stays(url: str) -> None:
    assert shown(url) == url
    assert redacted(f"at {url}", url) == f"at {url}"


@pytest.mark.parametrize("name", ["password", "sslpassword", "token", "api_key", "client_secret"])
def test_secret_parameters_are_hidden(name: str) -> None:
    url = f"postgresql:///db?user=maria&{name}={_CORE}&connect_timeout=3"
    assert shown(url) == f"postgresql:///db?user=maria&{name}=***&connect_timeout=3"
    assert _CORE not in redacted(f"cannot use {url}")


@pytest.mark.parametrize("variable", _VARIABLES)
@pytest.mark.parametrize("character", ["@", "/", "?", "#", " "])
def test_a_password_that_a_url_cannot_hold_is_refused_with_the_way_out(
    variable: str, character: str
) -> None:
    url = f"http://maria:x{character}{_CORE}@host/db"
    with pytest.raises(SettingsError, match="%40") as caught:
        load_settings({variable: url}, cwd=Path("/x"))
    assert variable in str(caught.value)
    assert _CORE not in str(caught.value)


@pytest.mark.parametrize("variable", _VARIABLES)
def test_a_correct_url_is_taken_as_it_is(variable: str) -> None:
    for url in (
        f"http://maria:{quote('p@/?# :', safe='')}@host:80/db",
        "http://maria:a:b@host/db",
        "http://[::1]:80/a",
        "redis://:secret@host/0",
        "http://host/a@b",
    ):
        assert check_url(variable, url) == url
        load_settings({variable: url}, cwd=Path("/x"))


def test_the_collectors_url_is_shown_without_its_password() -> None:
    for url in (f"ftp://u:{_CORE}@host", f"http://u:a/{_CORE}@host"):
        with pytest.raises(SettingsError) as caught:
            read_telemetry({"ENGINEHOUSE_OTLP_ENDPOINT": url})
        assert _CORE not in str(caught.value)


def test_a_registry_that_cannot_be_reached_says_where_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://maria:{_CORE}%40%2F@127.0.0.1:1/db"
    with pytest.raises(RegistryError) as caught:
        Registry(Settings(home=tmp_path, mlflow_tracking_uri=uri)).models()
    assert "http://***@127.0.0.1:1/db" in str(caught.value)
    assert _CORE not in str(caught.value)
