"""What drivers and servers say stays in the log: callers learn no host, user, file or address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis.exceptions
from enginehouse.api.errors import install_error_handlers
from enginehouse.client.wire import error_from_rpc
from enginehouse.gateway.database.database import Database
from enginehouse.registry.connection import registry_errors
from enginehouse.registry.controller.json_api import install_controller_errors
from fastapi import FastAPI
from mlflow.exceptions import MlflowException
from sqlalchemy import exc
from starlette.testclient import TestClient

from enginehouse import errors
from enginehouse.errors import EnginehouseError, StoreError
from enginehouse.http_errors import error_body, status_of

_SECRETS = ("db-7.internal", "10.1.2.3", "maria", "/srv/home/x.db", "hunter2hunter2", "5432")
_WORDS = (
    'connection to server at "db-7.internal" (10.1.2.3), port 5432 failed: FATAL: password '
    'authentication failed for user "maria" /srv/home/x.db hunter2hunter2'
)
_URI = "postgresql+psycopg2://maria:hunter2hunter2@db-7.internal:5432/x"


class _Rpc(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@contextmanager
def _in_the_database(tmp_path: Path) -> Iterator[None]:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    try:
        with database.begin():
            yield
    finally:
        database.close()


def _driver(kind: type[exc.DBAPIError]) -> Exception:
    return kind("SELECT secret", {"a": "maria"}, Exception(_WORDS))


_DATABASE: list[Exception] = [
    *(
        _driver(kind)
        for kind in (
            exc.DBAPIError, exc.OperationalError, exc.InterfaceError, exc.InternalError,
            exc.ProgrammingError, exc.DataError, exc.IntegrityError, exc.NotSupportedError,
            exc.DatabaseError,
        )
    ),
    exc.TimeoutError(_WORDS), exc.ArgumentError(_WORDS), exc.NoSuchModuleError(_WORDS),
    exc.InvalidRequestError(_WORDS), exc.SQLAlchemyError(_WORDS),
]  # fmt: skip
_REGISTRY: list[Exception] = [
    MlflowException(_WORDS),
    OSError(2, _WORDS, "/srv/home/x.db"),
    *_DATABASE,
]
_TRITON = [
    _Rpc(code, said)
    for code in grpc.StatusCode
    for said in (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.1.2.3:5432: refused",
        f"unable to load model at /srv/home/x.db: {_WORDS}",
        f"Request for unknown model: 'x' is not found {_WORDS}",
        f"Stub process 'x' is not healthy {_WORDS}",
        f"Exceeds maximum queue size {_WORDS}",
    )
]


def _ours(error: Exception, tmp_path: Path) -> EnginehouseError:
    if isinstance(error, _Rpc):
        return error_from_rpc(error)
    guard: Any = _in_the_database(tmp_path) if error in _DATABASE else registry_errors(_URI)
    with pytest.raises(EnginehouseError) as caught, guard:
        raise error
    return caught.value


@pytest.mark.parametrize("error", [*_DATABASE, *_REGISTRY, *_TRITON], ids=repr)
def test_a_body_says_nothing_of_what_a_driver_said(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = _ours(error, tmp_path)
    with caplog.at_level(logging.WARNING):
        body = str(error_body(ours))
    assert not [secret for secret in _SECRETS if secret in body]
    if type(ours).__name__ != "RequestCancelledError":
        assert "10.1.2.3" in caplog.text
    assert not isinstance(error, MlflowException) or "hunter2" not in caplog.text


_CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EnginehouseError)
]


@pytest.mark.parametrize("kind", _CLASSES)
def test_every_class_decides_what_callers_are_told(kind: type[EnginehouseError]) -> None:
    """A class whose sentence is its own is one that a caller causes or can act on."""
    error = kind(_WORDS)
    message = error_body(error)["error"]["message"]
    assert message == (str(error) if kind.public is None else kind.public)
    if kind.public is None and not issubclass(kind, errors.ServingError):
        assert status_of(error)[0] < 500 or kind is errors.NameRefusedError


def _raising(app: FastAPI, error: Callable[[], Exception]) -> None:
    @app.get("/x")
    async def fails() -> None:
        raise error()


@pytest.mark.parametrize(
    "error",
    [
        lambda: StoreError(f"the shared limits' Redis does not answer: {_WORDS}"),
        lambda: redis.exceptions.ConnectionError(_WORDS),
        lambda: redis.exceptions.AuthenticationError(_WORDS),
        lambda: redis.exceptions.ResponseError(_WORDS),
        lambda: OSError(13, _WORDS, "/srv/home/x.db"),
        lambda: _driver(exc.OperationalError),
        lambda: errors.RegistryError(_WORDS),
        lambda: errors.BundleError(_WORDS),
        lambda: errors.SettingsError(_WORDS),
    ],
)
def test_no_response_names_hosts_users_files_or_addresses(error: Callable[[], Exception]) -> None:
    app = FastAPI()
    install_error_handlers(app)
    _raising(app, error)
    with TestClient(app, raise_server_exceptions=False) as http:
        answer = http.get("/x")
    assert answer.status_code >= 500
    assert not [secret for secret in _SECRETS if secret in answer.text]
    assert answer.json()["error"]["message"]


def test_operators_are_told_all_but_credentials() -> None:
    app = FastAPI()
    install_controller_errors(app)
    _raising(app, lambda: errors.RegistryError(f"the registry at {_URI}: away"))
    with TestClient(app, raise_server_exceptions=False) as http:
        answer = http.get("/x").json()["error"]["message"]
    assert answer == "the registry at postgresql+psycopg2://***@db-7.internal:5432/x: away"


def test_a_sentence_of_our_own_reaches_the_caller() -> None:
    told = StoreError("usage cannot be written down right now: try again later").told(None)
    assert error_body(told)["error"]["message"].startswith("usage cannot be written")
