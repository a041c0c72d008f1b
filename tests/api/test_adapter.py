"""The adapter over HTTP, in front of replicas that are callables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from starlette.testclient import TestClient

from enginehouse.errors import EngineUnavailableError, InvalidRequestError, QueueFullError
from enginehouse.settings import ApiSettings, Settings
from enginehouse.traffic import Arm, Routes
from enginehouse.traffic.routes import write_routes
from tests.api.conftest import MakeRevision
from tests.api.speaking import events
from tests.client.fakes import FakeFleet, FakeReplica, Fault, generator
from tests.conftest import wait_until

_GONE = EngineUnavailableError("gone")
_BODY = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@pytest.fixture
def replica() -> FakeReplica:
    return generator(1, 2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, fleet="host:1", api=ApiSettings(samples_kept=20))


@pytest.fixture
def http(
    settings: Settings, replica: FakeReplica, make_revision: MakeRevision
) -> Iterator[TestClient]:
    connect = FakeFleet([replica]).connect
    app = create_app(settings, connect=connect, open_version=make_revision)
    with TestClient(app) as client:
        wait_until(lambda: bool(client.get("/v1/models").json()["data"]), "the model")
        yield client


def _route(settings: Settings, http: TestClient, challenger: int, generation: int = 1) -> None:
    arms = (Arm(version=2, weight=challenger), Arm(version=1, weight=100 - challenger))
    routes = Routes(model="smollm2", generation=generation, rollout="r", champion=1, arms=arms)
    write_routes(settings.routes_dir, routes)

    def applied() -> bool:
        found = _internal(settings, http, "routes")["smollm2"]
        return bool(found["generation"] == generation)

    wait_until(applied, "the routes")


def _internal(settings: Settings, http: TestClient, what: str) -> Any:
    token = settings.admin_token_path.read_text()
    answer = http.get(f"/internal/{what}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def _chat(http: TestClient, **change: Any) -> Any:
    return http.post("/v1/chat/completions", json=_BODY | change)


def test_the_fingerprint_names_what_decides_the_engines_numbers(
    settings: Settings, http: TestClient, replica: FakeReplica
) -> None:
    # An engine that does not say what it is has its version.
    assert _chat(http).json()["system_fingerprint"] == "smollm2@1"
    found = []
    for cpu in ("a", "b", "a"):
        replica.identity = json.dumps({"cpu": cpu}).encode()
        # It is asked again when it was away.
        replica.dead = True
        wait_until(lambda: http.get("/health/ready").status_code == 503, "the replica's death")
        replica.dead = False
        wait_until(lambda: http.get("/health/ready").status_code == 200, "the replica")
        streamed = events(_chat(http, stream=True).text)
        answers = [_chat(http).json(), _chat(http, n=2).json(), *streamed]
        (fingerprint,) = {answer["system_fingerprint"] for answer in answers}
        found.append(fingerprint)
    assert all(re.fullmatch(r"smollm2@1-[0-9a-f]{12}", each) for each in found)
    assert found[0] == found[2] != found[1]


def test_routes_are_followed_and_pins_pass_them_by(settings: Settings, http: TestClient) -> None:
    assert _chat(http).headers["x-enginehouse-version"] == "1"
    _route(settings, http, 100)
    answer = _chat(http)
    assert answer.headers["x-enginehouse-version"] == "2"
    assert answer.json()["system_fingerprint"] == "smollm2@2"
    assert _chat(http, model="smollm2@1").headers["x-enginehouse-version"] == "1"
    assert _chat(http, model="smollm2@7").status_code == 404
    assert http.get("/v1/models/smollm2@2").json()["enginehouse"]["version"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_version_is_answered_for_by_another(
    settings: Settings, http: TestClient, replica: FakeReplica, *, stream: bool
) -> None:
    _route(settings, http, 100)
    replica.faults.extend([Fault(0, _GONE)] * 3)
    answer = _chat(http, stream=stream)
    assert (answer.status_code, answer.headers["x-enginehouse-version"]) == (200, "1")
    first, second = _internal(settings, http, "samples")["samples"]
    assert (first["version"], first["outcome"], first["code"]) == (2, "error", "503")
    assert (second["version"], second["outcome"], second["rollout"]) == (1, "ok", "r")
    replica.faults.extend([Fault(0, _GONE)] * 3)
    pinned = _chat(http, model="smollm2@2", stream=stream)
    assert (pinned.status_code, pinned.headers["x-enginehouse-version"]) == (503, "2")
    assert _internal(settings, http, "samples?after=2")["samples"][0]["pinned"] is True


def test_a_cut_stream_goes_on(http: TestClient, replica: FakeReplica) -> None:
    whole = _chat(http, max_tokens=8).json()["choices"][0]["message"]["content"]
    replica.faults.append(Fault(3, _GONE))
    answer = _chat(http, max_tokens=8, stream=True)
    lines = [line for line in answer.text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == whole
    assert len(replica.asked) == 3


def test_samples_say_what_came_of_each_request(
    settings: Settings, http: TestClient, replica: FakeReplica
) -> None:
    _chat(http, stream=True)
    http.post(
        "/v1/completions",
        json={"model": "smollm2", "prompt": "Hi", "max_tokens": 1},
        headers={"x-enginehouse-tenant": "acme"},
    )
    for error in (QueueFullError("full"), InvalidRequestError("no"), _GONE, _GONE, _GONE):
        replica.faults.append(Fault(0, error))
    statuses = [_chat(http).status_code for _ in range(3)]
    assert statuses == [429, 400, 503]
    page = _internal(settings, http, "samples")
    samples = page["samples"]
    assert [s["outcome"] for s in samples] == ["ok", "ok", "overloaded", "refused", "error"]
    assert [s["endpoint"] for s in samples[:2]] == ["chat.completions", "completions"]
    assert [s["finish"] for s in samples[:2]] == ["length", "length"]
    assert [s["completion_tokens"] for s in samples] == [4, 1, 0, 0, 0]
    assert [s["tenant"] for s in samples[:2]] == [None, "acme"]
    assert 0 <= samples[0]["ttft_s"] <= samples[0]["total_s"]
    assert samples[0]["inter_token_s"] >= 0
    assert samples[1]["inter_token_s"] is None
    assert samples[2]["ttft_s"] is None
    assert (page["last"], page["dropped"], len(page["boot"])) == (5, 0, 32)
    assert _internal(settings, http, "samples?after=5")["samples"] == []
    assert len(_internal(settings, http, "samples?after=1&limit=2")["samples"]) == 2


def test_old_samples_are_dropped_and_counted(settings: Settings, http: TestClient) -> None:
    for _ in range(23):
        _chat(http, max_tokens=1)
    page = _internal(settings, http, "samples?after=1")
    assert (len(page["samples"]), page["dropped"], page["last"]) == (20, 2, 23)


def test_internal_routes_need_the_token(settings: Settings, http: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer"}):
        answer = http.get("/internal/samples", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert settings.admin_token_path.stat().st_mode & 0o777 == 0o600
    assert _internal(settings, http, "routes")["smollm2"]["arms"] == [{"version": 1, "weight": 100}]


def test_feedback_is_kept_and_its_comment_stays_in_the_journal(
    settings: Settings, http: TestClient
) -> None:
    response_id = _chat(http).json()["id"]
    said = {"response_id": response_id, "thumbs": "up", "score": 0.5, "comment": "a secret"}
    assert http.post("/v1/feedback", json=said).status_code == 200
    page = _internal(settings, http, "samples")
    assert "a secret" not in json.dumps(page)
    (kept,) = page["feedback"]
    assert (kept["request_id"], kept["thumbs"], kept["score"]) == (response_id, 1, 0.5)
    journal = settings.journal_dir / "feedback.jsonl"
    (line,) = journal.read_text().splitlines()
    assert json.loads(line)["comment"] == "a secret"
    assert journal.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"response_id": "chatcmpl-unknown", "thumbs": "up"}, 404),
        ({"response_id": "x"}, 400),
        ({"response_id": "x", "score": 2}, 400),
        ({"response_id": "x", "thumbs": "sideways"}, 400),
        ({"thumbs": "up"}, 400),
    ],
)
def test_bad_feedback_is_refused(http: TestClient, said: dict[str, Any], status: int) -> None:
    answer = http.post("/v1/feedback", json=said)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_a_model_that_has_only_routes_is_not_ready(settings: Settings, http: TestClient) -> None:
    assert http.get("/health/ready").status_code == 200
    arms = (Arm(version=1, weight=100),)
    write_routes(settings.routes_dir, Routes(model="other", generation=1, champion=1, arms=arms))
    wait_until(lambda: http.get("/health/ready").status_code == 503, "the routes")
    assert http.get("/health/ready").json()["models"]["smollm2"] == "ready"
    assert "not loaded" in http.get("/health/ready").json()["models"]["other"]


def test_pins_may_be_forbidden(tmp_path: Path, make_revision: MakeRevision) -> None:
    settings = Settings(home=tmp_path, fleet="host:1", api=ApiSettings(pins=False))
    connect = FakeFleet([generator(1)]).connect
    with TestClient(create_app(settings, connect=connect, open_version=make_revision)) as http:
        wait_until(lambda: _chat(http).status_code == 200, "an answer")
        answer = _chat(http, model="smollm2@1")
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")
    assert "ENGINEHOUSE_PINS" in answer.json()["error"]["message"]
