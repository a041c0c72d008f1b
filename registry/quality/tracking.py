"""MLflow's module-level interface (evaluation, traces), pointed at the registry.

Evaluation and spans know no client object: they go to the process's tracking URI.
"""

from __future__ import annotations

import os
from typing import Any

from enginehouse.registry.store import Registry

from enginehouse.settings import Settings

# Our callers bound their own queues; MLflow's would hide what it drops.
_SYNCHRONOUS = {
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    # An adaptive limit of ten calls a second is made for paid interfaces, not for one's own.
    "MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0",
    "MLFLOW_GENAI_EVAL_SCORER_RATE_LIMIT": "0",
    # It would ask the model once more than the data says.
    "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
    # A user's git repository is none of a request's business.
    "GIT_PYTHON_REFRESH": "quiet",
}
_INHERITED = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


def open_mlflow(settings: Settings) -> Any:
    """The module `mlflow`, set to this registry for the whole process.

    Raises:
        RegistryError: if the registry does not answer.
    """
    for key, value in _SYNCHRONOUS.items():
        os.environ.setdefault(key, value)
    with Registry(settings).session():
        # The session has set MLflow's limits and made the database.
        import mlflow

        before = {key: os.environ.get(key) for key in _INHERITED}
        mlflow.set_tracking_uri(settings.registry_uri)
        mlflow.set_registry_uri(settings.registry_uri)
        _restore(before)
    return mlflow


def _restore(before: dict[str, str | None]) -> None:
    """MLflow writes what it is told into the environment, where our settings would read it."""
    for key, value in before.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
