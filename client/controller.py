"""Client of the release controller, used by the command line and the MLflow deployments plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from enginehouse.errors import ControllerError
from enginehouse.settings import Settings
from enginehouse.tls import tls_context

_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 3.0


class ControllerClient:
    """Client of one controller; every method returns the controller's JSON.

    Every method raises `ControllerError`: with the controller's own message if it rejects the
    request, or with what to start if nothing answers.
    """

    def __init__(
        self, url: str, token: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        """`transport` replaces the network, for tests."""
        self._url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
            transport=transport,
            # The connection is to the loopback or internal, and a proxy must not see the token.
            trust_env=False,
            verify=tls_context(url),
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> ControllerClient:
        """The controller of these settings, with the token that it shares with the CLI.

        Raises:
            ControllerError: if there is no token, because no controller has run with this home.
        """
        try:
            token = settings.admin_token_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise ControllerError(
                f"{settings.admin_token_path} is not there: no release controller has run with "
                "this home; start `enginehouse up` or `enginehouse controller`"
            ) from None
        except OSError as error:
            raise ControllerError(f"the controller's token cannot be read: {error}") from error
        return cls(settings.addresses.controller_url, token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def overview(self) -> dict[str, Any]:
        """The controller's state of all models.

        `models`: each with its release state; `read`: whether the controller has read the registry
        since it became active; `problem`: what prevents it from acting, or None.
        """
        answer = self._object("GET", "/v1/models")
        if not isinstance(answer.get("models"), list):
            raise ControllerError(f"the controller at {self._url} answered without its models")
        return answer

    def models(self) -> list[dict[str, Any]]:
        """Every model with its release state."""
        return list(self.overview()["models"])

    def model(self, name: str) -> dict[str, Any]:
        """One model's release state."""
        return self._object("GET", _path(name))

    def rollout(
        self,
        name: str,
        version: int,
        *,
        actor: str,
        reason: str,
        spec: Mapping[str, Any] | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Start the rollout of a version.

        Args:
            spec: the rollout's specification; None uses the controller's default.
            overrides: gate → reason for overriding it.
        """
        body = {
            "version": version,
            "spec": None if spec is None else dict(spec),
            "actor": actor,
            "reason": reason,
            "overrides": dict(overrides or {}),
        }
        return self._object("POST", _path(name, "rollout"), body)

    def pause(self, name: str, *, actor: str, reason: str) -> dict[str, Any]:
        """Hold the rollout at its current weight."""
        return self._act(name, "pause", actor, reason)

    def resume(self, name: str, *, actor: str, reason: str) -> dict[str, Any]:
        """Resume a paused rollout."""
        return self._act(name, "resume", actor, reason)

    def promote(
        self,
        name: str,
        *,
        actor: str,
        reason: str,
        version: int | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make the challenger, or `version`, the champion now; overrides are gate → reason."""
        given = {"overrides": dict(overrides)} if overrides else {}
        return self._act(name, "promote", actor, reason, version=version, **given)

    def abort(self, name: str, *, actor: str, reason: str) -> dict[str, Any]:
        """Shift all traffic back to the champion and end the rollout."""
        return self._act(name, "abort", actor, reason)

    def rollback(
        self, name: str, *, actor: str, reason: str, to: int | None = None
    ) -> dict[str, Any]:
        """Roll back to `previous`, or to version `to`."""
        return self._act(name, "rollback", actor, reason, to=to)

    def history(self, name: str) -> list[dict[str, Any]]:
        """Past releases, newest first, as the controller returns them."""
        answer = self._ask("GET", _path(name, "history"))
        found = answer.get("history", answer.get("data")) if isinstance(answer, dict) else answer
        if not isinstance(found, list):
            raise ControllerError(f"the controller at {self._url} answered without a history")
        return list(found)

    def delete(self, name: str, *, actor: str) -> None:
        """Stop serving a model: removes its alias `champion`; its versions are kept."""
        self._ask("DELETE", f"{_path(name)}?actor={quote(actor, safe='')}")

    def _act(
        self, name: str, verb: str, actor: str, reason: str, **values: object
    ) -> dict[str, Any]:
        given = {key: value for key, value in values.items() if value is not None}
        return self._object("POST", _path(name, verb), {"actor": actor, "reason": reason, **given})

    def _object(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        answer = self._ask(method, path, body)
        if not isinstance(answer, dict):
            raise ControllerError(f"the controller at {self._url} answered with no JSON object")
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.ConnectError:
            raise ControllerError(
                f"no release controller answers at {self._url}: start `enginehouse up`, or "
                "`enginehouse controller` beside a fleet of your own"
            ) from None
        except httpx.HTTPError as error:
            raise ControllerError(f"the controller at {self._url}: {error}") from error
        if answer.is_error:
            raise ControllerError(_sentence(answer))
        try:
            return answer.json() if answer.content else {}
        except ValueError:
            raise ControllerError(
                f"what answers at {self._url} is not a release controller: it did not send JSON"
            ) from None


def _path(name: str, *verb: str) -> str:
    return "/".join(("/v1/models", quote(name, safe=""), *verb))


def _sentence(answer: httpx.Response) -> str:
    """The controller's error message, from any of the usual shapes of HTTP error bodies."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        for found in (body.get("error"), body.get("detail"), body.get("message")):
            text = found.get("message") if isinstance(found, dict) else found
            if isinstance(text, str):
                return text
    return f"the release controller answered HTTP {answer.status_code}"
