from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from enginehouse.client.controller import ControllerClient

from enginehouse.errors import ControllerError
from enginehouse.settings import Addresses, Settings
from tests.conftest import free_ports


def client_of(handler: Callable[[httpx.Request], httpx.Response]) -> ControllerClient:
    return ControllerClient("http://controller", "s3cret", transport=httpx.MockTransport(handler))


def echo(request: httpx.Request) -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "method": request.method,
            "path": request.url.raw_path.decode(),
            "token": request.headers["authorization"],
            "body": json.loads(request.content or b"null"),
        },
    )


def test_a_rollout_says_what_who_and_why() -> None:
    asked = client_of(echo).rollout(
        "smollm2", 8, actor="mara", reason="faster", spec={"steps": [10]}, overrides={"lint": "ok"}
    )
    assert asked == {
        "method": "POST",
        "path": "/v1/models/smollm2/rollout",
        "token": "Bearer s3cret",
        "body": {
            "version": 8,
            "spec": {"steps": [10]},
            "actor": "mara",
            "reason": "faster",
            "overrides": {"lint": "ok"},
        },
    }


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "promote", "rollback"])
def test_each_act_has_its_path_and_leaves_out_what_was_not_said(verb: str) -> None:
    asked = getattr(client_of(echo), verb)("smollm2", actor="mara", reason="why")
    assert asked["path"] == f"/v1/models/smollm2/{verb}"
    assert asked["body"] == {"actor": "mara", "reason": "why"}


def test_versions_of_acts_are_passed_on() -> None:
    client = client_of(echo)
    assert client.promote("m", actor="a", reason="r", version=3)["body"]["version"] == 3
    overridden = client.promote("m", actor="a", reason="r", overrides={"smoke": "seen"})
    assert overridden["body"]["overrides"] == {"smoke": "seen"}
    assert client.rollback("m", actor="a", reason="r", to=2)["body"]["to"] == 2


def test_models_are_a_list_beside_what_the_controller_says_of_its_registry() -> None:
    answer = {"models": [{"name": "smollm2"}], "read": True, "problem": None}
    client = client_of(lambda _: httpx.Response(200, json=answer))
    assert client.models() == [{"name": "smollm2"}]
    assert client.overview() == answer


def test_history_is_a_list_and_a_deletion_may_answer_nothing() -> None:
    assert client_of(lambda _: httpx.Response(200, json={"history": []})).history("m") == []
    client_of(lambda _: httpx.Response(204)).delete("m", actor="a")


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    asked = client_of(echo).model("../admin")
    assert asked["path"] == "/v1/models/..%2Fadmin"


@pytest.mark.parametrize(
    "body",
    [{"error": {"message": "8 is retired"}}, {"error": "8 is retired"}, {"detail": "8 is retired"}],
)
def test_a_refusal_is_the_controllers_own_sentence(body: dict[str, Any]) -> None:
    client = client_of(lambda _: httpx.Response(409, json=body))
    with pytest.raises(ControllerError, match=r"^8 is retired$"):
        client.model("m")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="<html>bad gateway"),
        httpx.Response(200, text="<html>hello"),
        httpx.Response(200, json=["not", "an", "object"]),
    ],
)
def test_what_is_no_controller_is_an_error(answer: httpx.Response) -> None:
    with pytest.raises(ControllerError):
        client_of(lambda _: answer).model("m")


def test_nobody_there_says_what_to_start(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("t\n")
    settings = Settings(home=tmp_path, addresses=Addresses(controller_port=free_ports(1)[0]))
    with (
        ControllerClient.from_settings(settings) as client,
        pytest.raises(ControllerError, match="enginehouse up"),
    ):
        client.models()


def test_without_a_token_no_controller_has_run(tmp_path: Path) -> None:
    with pytest.raises(ControllerError, match=r"admin\.token"):
        ControllerClient.from_settings(Settings(home=tmp_path))
