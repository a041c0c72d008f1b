from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlparse

import pandas as pd
import pytest
from click.testing import CliRunner
from enginehouse.registry import Registry
from enginehouse.registry.deployment_config import deployment_config
from mlflow.deployments import get_deploy_client
from mlflow.deployments.cli import commands
from mlflow.exceptions import MlflowException

from enginehouse.errors import SpecError
from enginehouse.settings import Settings
from tests.conftest import free_ports
from tests.fake_bundle import fake_bundle


class StandIn:
    """Controller and adapter behind one port: a release ends at once, as `outcome` says."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.outcome = "succeeded"

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        _, what, *rest = path.strip("/").split("/")
        if what == "models":
            return self.releases(method, rest, body)
        return 200, {
            "chat": lambda: {"choices": [{"message": {"content": _last(body).upper()}}]},
            "completions": lambda: {"choices": [{"text": body["prompt"] + "!"}]},
            "embeddings": lambda: {"data": [{"embedding": [1.0, 0.0]}]},
        }[what]()

    def releases(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if not rest:
            return 200, {"models": list(self.models.values())}
        if method == "POST":
            return self.release(rest[0], body["version"])
        return 200, self.models.pop(rest[0]) if method == "DELETE" else self.models[rest[0]]

    def release(self, name: str, version: int) -> tuple[int, Any]:
        if version == 3:
            return 409, {"error": {"message": "smollm2 version 3 is retired"}}
        before = self.models.get(name, {"champion": None})
        done = self.outcome == "succeeded"
        self.models[name] = {
            "model": name,
            "champion": version if done else before["champion"],
            "ready": [version],
            "rollout": {
                "challenger": version,
                "phase": self.outcome,
                "abort_reason": "gate smoke: empty answers",
            },
        }
        return 200, self.models[name]


def _last(body: Any) -> str:
    return body["messages"][-1]["content"]


def handler_of(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(raw) if raw else None
            if body and body.get("stream"):
                return self._stream(body)
            status, answer = stand_in.answer(self.command, urlparse(self.path).path, body)
            self._send(status, json.dumps(answer).encode())
            return None

        def _stream(self, body: Any) -> None:
            chunks = [{"choices": [{"delta": {"content": c}}]} for c in ("a", "b")]
            if body["messages"][0]["content"] == "fail":
                chunks.append({"error": {"message": "the engine is gone"}})
            lines = [f"data: {json.dumps(chunk)}" for chunk in chunks] + ["data: [DONE]"]
            self._send(200, "\n\n".join([*lines, ""]).encode())

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 - names of the standard library

    return Handler


@pytest.fixture
def stand_in(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StandIn]:
    """With versions 1 to 3 of smollm2 in the registry, 2 being 1.1.0."""
    registry = Registry(settings)
    for number in range(1, 4):
        bundle = fake_bundle(tmp_path / str(number), weights=b"%d" % number)
        registry.register(bundle, "smollm2", "1.1.0" if number == 2 else None)
    found = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(found))
    Thread(target=server.serve_forever, daemon=True).start()
    (settings.home / "admin.token").write_text("t")
    monkeypatch.setenv("ENGINEHOUSE_HOME", str(settings.home))
    monkeypatch.setenv("ENGINEHOUSE_CONTROLLER_PORT", str(server.server_port))
    monkeypatch.setenv("ENGINEHOUSE_ADAPTERS", f"http://127.0.0.1:{server.server_port}")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(stand_in: StandIn) -> Any:
    return get_deploy_client("enginehouse")


def test_a_version_is_deployed_updated_and_deleted(client: Any, stand_in: StandIn) -> None:
    created = client.create_deployment("smollm2", "models:/smollm2/1")
    assert (created["name"], created["champion"]) == ("smollm2", 1)
    config = {"strategy": "promote", "override": "smoke, load", "reason": "seen", "actor": "mara"}
    client.update_deployment("smollm2", "models:/smollm2/1.1.0", config=config)
    assert stand_in.asked[-2] == (
        "POST",
        "/v1/models/smollm2/promote",
        {
            "version": 2,
            "actor": "mara",
            "reason": "seen",
            "overrides": {"smoke": "seen", "load": "seen"},
        },
    )
    assert client.get_deployment("smollm2")["champion"] == 2
    assert [d["name"] for d in client.list_deployments()] == ["smollm2"]
    client.delete_deployment("smollm2")
    client.delete_deployment("smollm2")
    assert client.list_deployments() == []
    assert len([asked for asked in stand_in.asked if asked[0] == "DELETE"]) == 1


def test_conflicts_and_refusals_are_mlflow_errors(client: Any) -> None:
    with pytest.raises(MlflowException, match="no deployment 'smollm2'") as caught:
        client.get_deployment("smollm2")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException, match="no deployment"):
        client.update_deployment("smollm2", "models:/smollm2/1")
    client.create_deployment("smollm2", "models:/smollm2/1")
    with pytest.raises(MlflowException, match="served already"):
        client.create_deployment("smollm2", "models:/smollm2/2")
    with pytest.raises(MlflowException, match=r"^smollm2 version 3 is retired$"):
        client.update_deployment("smollm2", "models:/smollm2/3")
    with pytest.raises(MlflowException, match="no version 9"):
        client.update_deployment("smollm2", "models:/smollm2/9")
    with pytest.raises(MlflowException, match="flavor"):
        client.update_deployment("smollm2", "models:/smollm2/2", flavor="pyfunc")
    with pytest.raises(MlflowException, match="model_uri"):
        client.update_deployment("smollm2", config={})


@pytest.mark.parametrize(
    "uri", ["runs:/1/bundle", "models:/smollm2", "models:/smollm2/1/x", "models:/other/1", "x"]
)
def test_a_uri_of_something_else_is_refused(client: Any, uri: str) -> None:
    with pytest.raises(MlflowException, match="models:/"):
        client.create_deployment("smollm2", uri)


def test_a_release_that_ends_badly_or_not_in_time_is_an_error(
    client: Any, stand_in: StandIn
) -> None:
    client.create_deployment("smollm2", "models:/smollm2/1")
    stand_in.outcome = "aborted"
    with pytest.raises(MlflowException, match="gate smoke"):
        client.update_deployment("smollm2", "models:/smollm2/2")
    stand_in.outcome = "progressing"
    with pytest.raises(MlflowException, match="rollout status smollm2"):
        client.update_deployment("smollm2", "models:/smollm2/2", config={"wait_s": "0.1"})
    found = client.update_deployment("smollm2", "models:/smollm2/2", config={"wait_s": "0"})
    assert found["rollout"]["phase"] == "progressing"


def test_predictions_come_from_the_adapter(client: Any, stand_in: StandIn) -> None:
    def predicted(inputs: Any) -> Any:
        return client.predict("smollm2", inputs)["predictions"]

    assert predicted({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}) == ["HI"]
    assert stand_in.asked[-1][2]["max_tokens"] == 3
    assert stand_in.asked[-1][2]["model"] == "smollm2"
    assert predicted("hi") == ["HI"]
    assert predicted([{"role": "user", "content": "hi"}]) == ["HI"]
    assert predicted(["hi", "ho"]) == ["HI", "HO"]
    assert predicted(pd.DataFrame({"prompt": ["a", "b"]})) == ["a!", "b!"]
    assert predicted({"input": "a"}) == [[1.0, 0.0]]
    assert json.loads(client.predict("smollm2", "hi").to_json())["predictions"] == ["HI"]
    with pytest.raises(MlflowException, match="OpenAI request"):
        predicted({"question": "hi"})


def test_a_model_is_an_endpoint_to_predict_with(client: Any, stand_in: StandIn) -> None:
    client.create_deployment("smollm2", "models:/smollm2/1")
    asked = {"messages": [{"role": "user", "content": "hi"}]}
    assert client.predict(endpoint="smollm2", inputs=asked)["predictions"] == ["HI"]
    assert stand_in.asked[-1][2]["model"] == "smollm2"
    for both in (("smollm2", "adapter"), ("smollm2", "smollm2"), ("smollm2", None)):
        assert client.predict(both[0], asked, both[1])["predictions"] == ["HI"]
    assert len(list(client.predict_stream(endpoint="smollm2", inputs="x"))) == 2
    assert [e["name"] for e in client.list_endpoints()] == ["adapter", "smollm2"]
    assert client.get_endpoint("smollm2")["name"] == "smollm2"
    with pytest.raises(MlflowException, match="no endpoint 'other'"):
        client.get_endpoint("other")
    with pytest.raises(MlflowException, match="endpoint='smollm2'"):
        client.predict(inputs=asked)


@pytest.mark.parametrize("option", ["--name", "--endpoint"])
@pytest.mark.parametrize(
    ("written", "predicted"),
    [
        ([{"prompt": "a"}, {"prompt": "7", "max_tokens": 3}], ["a!", "7!"]),
        ([{"prompt": "1"}, {"prompt": "2"}], ["1!", "2!"]),
        ({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}, ["HI"]),
        (
            {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hi"}]},
            ["HI"],
        ),
        ([{"messages": [{"role": "user", "content": "hi"}], "stop": ["."]}], ["HI"]),
    ],
)
def test_the_command_of_mlflow_predicts_by_either_option(
    stand_in: StandIn, tmp_path: Path, option: str, written: Any, predicted: list[str]
) -> None:
    table = tmp_path / "in.json"
    table.write_text(json.dumps(written))
    argv = ["predict", "--target", "enginehouse", option, "smollm2", "--input-path", str(table)]
    done = CliRunner().invoke(commands, argv)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["predictions"] == predicted
    assert "NaN" not in json.dumps(stand_in.asked)


def test_a_stream_is_passed_on_and_its_error_is_raised(client: Any) -> None:
    texts = [c["choices"][0]["delta"]["content"] for c in client.predict_stream("smollm2", "x")]
    assert texts == ["a", "b"]
    with pytest.raises(MlflowException, match="engine is gone"):
        list(client.predict_stream("smollm2", "fail"))


def test_the_endpoint_is_the_adapter(client: Any) -> None:
    assert [e["name"] for e in client.list_endpoints()] == ["adapter"]
    assert client.get_endpoint("adapter")["urls"][0].startswith("http://")
    with pytest.raises(MlflowException, match="no endpoint 'x'"):
        client.predict("smollm2", "hi", endpoint="x")
    with pytest.raises(MlflowException, match="enginehouse up"):
        client.create_endpoint("x")


def test_without_a_controller_the_error_says_what_to_start(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINEHOUSE_CONTROLLER_PORT", str(free_ports(1)[0]))
    with pytest.raises(MlflowException, match="enginehouse up"):
        get_deploy_client("enginehouse").list_deployments()


def test_the_home_may_stand_in_the_target(client: Any, tmp_path: Path) -> None:
    with pytest.raises(MlflowException, match="elsewhere"):
        get_deploy_client(f"enginehouse:{tmp_path}/elsewhere").list_deployments()


@pytest.mark.parametrize(
    "config",
    [
        {"speed": "fast"},
        {"strategy": "yolo"},
        {"wait_s": "soon"},
        {"override": "smoke"},
        {"spec": "/nowhere.yaml"},
    ],
)
def test_a_config_that_is_not_understood_is_refused_by_key(config: dict[str, str]) -> None:
    with pytest.raises(SpecError, match=next(iter(config))):
        deployment_config(config)


def test_a_specification_is_a_mapping_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("steps: [{weight: 10}]")
    spec = {"steps": [{"weight": 10}]}
    assert deployment_config({"spec": str(path)}).spec == deployment_config({"spec": spec}).spec
    path.write_text("[]")
    with pytest.raises(SpecError, match="mapping"):
        deployment_config({"spec": str(path)})
