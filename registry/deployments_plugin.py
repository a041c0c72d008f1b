"""MLflow's deployments API for the target ``enginehouse``.

A deployment is a served model. Creating or updating one releases a registered version through the
release controller, with the usual gates and analyses. Predictions use the adapter's OpenAI API.
Endpoints are the adapter and, for `predict`, the name of each served model, because MLflow's own
clients call ``predict(endpoint=NAME)``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from enginehouse.client.controller import ControllerClient
from enginehouse.registry.deployment import named, release, served, version_of
from enginehouse.registry.deployment_config import deployment_config
from enginehouse.registry.predictions import PredictionClient
from enginehouse.registry.store import Registry
from mlflow.deployments import PredictionsResponse
from mlflow.deployments.base import BaseDeploymentClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)

from enginehouse.errors import ControllerError, EnginehouseError
from enginehouse.settings import Settings, load_settings

#: Name of the endpoint that serves all models.
ENDPOINT = "adapter"


def run_local(
    target: str,
    name: str,
    model_uri: str,
    flavor: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Make a version the champion and run the local stack until it is interrupted.

    Raises:
        MlflowException: if the version does not exist, or a stack is running already.
    """
    del flavor, config
    settings = _settings(target)
    with _mlflow_errors():
        if _controller_answers(settings):
            raise MlflowException(
                "a stack runs here already: deploy to it with `mlflow deployments create`",
                error_code=RESOURCE_ALREADY_EXISTS,
            )
        registry = Registry(settings)
        registry.promote(name, version_of(registry, name, model_uri))
    env = {**os.environ, "ENGINEHOUSE_HOME": str(settings.home)}
    subprocess.run([sys.executable, "-m", "enginehouse", "up"], env=env, check=False)


def target_help() -> str:
    """The text of `mlflow deployments help -t enginehouse`."""
    return """Target `enginehouse`: engines served by Triton, released by Enginehouse.

Target URI:  enginehouse                 the settings of this process's environment
             enginehouse:/path/to/home   the same with another ENGINEHOUSE_HOME

A deployment's name is the served model's name. Model URIs: models:/NAME/VERSION,
models:/NAME@ALIAS, or models:/NAME/LABEL as in models:/smollm2/1.4.0.

Config of create and update (-C name=value):
  strategy=rollout|promote   step by step with analyses (default), or at once after the gates
  spec=FILE                  the rollout's specification, YAML or JSON
  reason=TEXT                kept in the history
  override=GATE,GATE         pass over gates; needs a reason
  actor=NAME                 who asks; default: the user
  wait_s=SECONDS             how long to wait for the version to serve (default 600, 0: not)

predict takes the model as --name or as --endpoint, and an OpenAI request: {"messages": […]},
{"prompt": "…"} or {"input": "…"}; a table with such a column asks once a row. The file of the
command is read as a table: [{"prompt": "…"}].
"""


class EnginehouseDeploymentClient(BaseDeploymentClient):  # type: ignore[misc]
    """Deployments of one Enginehouse; see `target_help`."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        with _mlflow_errors():
            self._settings = _settings(target_uri)
        self._adapter = PredictionClient(self._settings.adapter_urls[0])

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Release a version of a model that is not served yet.

        Raises:
            MlflowException: if the model is served already, the version does not exist, or its
                release is rejected.
        """
        _check(flavor, endpoint)
        with _mlflow_errors(), self._controller() as controller:
            if served(controller, name) is not None:
                raise MlflowException(
                    f"{name} is served already: use update_deployment",
                    error_code=RESOURCE_ALREADY_EXISTS,
                )
            return release(controller, self._registry(), name, model_uri, deployment_config(config))

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Release another version of a served model.

        Raises:
            MlflowException: if the model is not served, the version does not exist, or its release
                is rejected or aborted.
        """
        _check(flavor, endpoint)
        if model_uri is None:
            raise MlflowException.invalid_parameter_value(
                "give the model_uri of the version to release: settings belong to a version"
            )
        with _mlflow_errors(), self._controller() as controller:
            if served(controller, name) is None:
                raise _missing(name)
            return release(controller, self._registry(), name, model_uri, deployment_config(config))

    def delete_deployment(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> None:
        """Stop serving a model; its versions are kept. Does nothing if it is not served.

        Raises:
            MlflowException: if the controller rejects the request or does not answer.
        """
        _check(None, endpoint)
        with _mlflow_errors(), self._controller() as controller:
            if served(controller, name) is not None:
                controller.delete(name, actor=deployment_config(config).actor)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """All served models.

        Raises:
            MlflowException: if the controller does not answer.
        """
        _check(None, endpoint)
        with _mlflow_errors(), self._controller() as controller:
            return [named(m) for m in controller.models() if m.get("champion") is not None]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """Release state of one served model: champion, weights, rollout.

        Raises:
            MlflowException: if it is not served, or the controller does not answer.
        """
        _check(None, endpoint)
        with _mlflow_errors(), self._controller() as controller:
            found = served(controller, name)
        if found is None:
            raise _missing(name)
        return found

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> Any:
        """Send requests to the adapter; each prediction is a text or an embedding.

        Raises:
            MlflowException: if the input is not an OpenAI request, or the adapter rejects it.
        """
        model = _model(deployment_name, endpoint)
        with _mlflow_errors():
            found = self._adapter.predict(model, inputs)
        return PredictionsResponse(found)

    def predict_stream(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Stream the adapter's chunks.

        Raises:
            MlflowException: if the input is not an OpenAI request, or the adapter rejects it.
        """
        model = _model(deployment_name, endpoint)
        with _mlflow_errors():
            yield from self._adapter.stream(model, inputs)

    def list_endpoints(self) -> list[dict[str, Any]]:
        """The adapter, and each served model.

        Raises:
            MlflowException: if the controller does not answer.
        """
        return [
            self._endpoint(name)
            for name in (ENDPOINT, *(str(model["name"]) for model in self.list_deployments()))
        ]

    def get_endpoint(self, endpoint: str) -> dict[str, Any]:
        """The adapter, or a served model by its name.

        Raises:
            MlflowException: if there is no such endpoint, or the controller does not answer.
        """
        if endpoint != ENDPOINT:
            with _mlflow_errors(), self._controller() as controller:
                if served(controller, endpoint) is None:
                    raise _no_endpoint(endpoint)
        return self._endpoint(endpoint)

    def _endpoint(self, name: str) -> dict[str, Any]:
        return {"name": name, "urls": list(self._settings.adapter_urls)}

    def _no_endpoints(self, *_: object, **__: object) -> None:
        raise MlflowException.invalid_parameter_value(
            "the endpoint of Enginehouse is its adapter, which `enginehouse up` starts: it is "
            "neither created nor deleted here"
        )

    create_endpoint = update_endpoint = delete_endpoint = _no_endpoints

    def _registry(self) -> Registry:
        return Registry(self._settings)

    def _controller(self) -> ControllerClient:
        return ControllerClient.from_settings(self._settings)


def _settings(target_uri: str) -> Settings:
    settings = load_settings(os.environ, cwd=Path.cwd())
    home = urlparse(target_uri).path if ":" in target_uri else ""
    return replace(settings, home=Path(home)) if home else settings


def _controller_answers(settings: Settings) -> bool:
    try:
        with ControllerClient.from_settings(settings) as controller:
            controller.models()
    except ControllerError:
        return False
    return True


def _check(flavor: str | None, endpoint: str | None) -> None:
    if flavor is not None:
        raise MlflowException.invalid_parameter_value(
            f"flavor {flavor!r}: an engine bundle is deployed as it is, without a flavor"
        )
    if endpoint not in {None, ENDPOINT}:
        raise _no_endpoint(endpoint)


def _no_endpoint(name: str | None) -> MlflowException:
    return MlflowException(
        f"no endpoint {name!r}; there is {ENDPOINT!r}, and `predict` takes a served model's name",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )


def _model(deployment_name: str | None, endpoint: str | None) -> str:
    """The model that either of MLflow's two arguments names.

    Raises:
        MlflowException: if they name no model, or two different ones.
    """
    named = {name for name in (deployment_name, endpoint) if name and name != ENDPOINT}
    if not named:
        raise MlflowException.invalid_parameter_value(
            "give the model: deployment_name='smollm2' or endpoint='smollm2'"
        )
    if len(named) > 1:
        raise _no_endpoint(endpoint)
    return named.pop()


def _missing(name: str) -> MlflowException:
    return MlflowException(
        f"no deployment {name!r}: no version of it is served",
        error_code=RESOURCE_DOES_NOT_EXIST,
    )


@contextmanager
def _mlflow_errors() -> Iterator[None]:
    """Convert our errors to MLflow's."""
    try:
        yield
    except EnginehouseError as error:
        raise MlflowException(str(error), error_code=BAD_REQUEST) from error
