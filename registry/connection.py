"""The connection to MLflow: client, time limits, and conversion of errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enginehouse.errors import NotRegisteredError, RegistryError
from enginehouse.urls import redacted, shown

_PAGE = 500
# MLflow's default is to retry a dead server for minutes.
_CLIENT_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(uri: str, embedded_dir: Path | None) -> Any:
    """Create MLflow's client for the registry at `uri`.

    Args:
        embedded_dir: directory of SQLite and artefacts; None with a server.

    Raises:
        RegistryError: if the registry cannot be opened.
    """
    for key, value in _CLIENT_LIMITS.items():
        os.environ.setdefault(key, value)
    if embedded_dir is not None:
        embedded_dir.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with registry_errors(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def every_page(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """Iterate over all pages of an MLflow search."""
    token = None
    while True:
        page = search(*arguments, max_results=_PAGE, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def registry_errors(uri: str, name: str | None = None) -> Iterator[None]:
    """Convert exceptions of MLflow and the database; `name` is the model that may be missing."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if name is not None and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotRegisteredError(
                f"no registered model {name!r}; register one with "
                f"`enginehouse register BUNDLE --name {name}`"
            ) from error
        raise RegistryError(
            f"the registry at {shown(uri)}: {redacted(str(error.message), uri)}"
        ) from None
    except (SQLAlchemyError, OSError) as error:
        raise RegistryError(
            f"the registry at {shown(uri)} cannot be used: {redacted(str(error), uri)}"
        ) from None
