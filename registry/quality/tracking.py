"""MLflow's module-level interface (evaluation and traces), configured for this registry.

Evaluation and spans do not take a client object: they use the process-wide tracking URI.
"""

from __future__ import annotations

import os
from typing import Any

from enginehouse.registry.store import Registry

from enginehouse.settings import Settings

# Callers have bounded queues of their own; MLflow's asynchronous one drops records silently.
_SYNCHRONOUS = {
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    # MLflow limits calls to ten a second by default, which is meant for paid APIs.
    "MLFLOW_GENAI_EVAL_PREDICT_RATE_LIMIT": "0",
    "MLFLOW_GENAI_EVAL_SCORER_RATE_LIMIT": "0",
    # The validation would send one more request to the model.
    "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
    # Do not look for a git repository of the user.
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
        # The session has set MLflow's limits and created the database.
        import mlflow

        before = {key: os.environ.get(key) for key in _INHERITED}
        mlflow.set_tracking_uri(settings.registry_uri)
        mlflow.set_registry_uri(settings.registry_uri)
        _restore(before)
    return mlflow


def _restore(before: dict[str, str | None]) -> None:
    """Undo MLflow's changes to the environment, from which our settings would read them."""
    for key, value in before.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
