from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.revision import Revision, Served
from enginehouse.client import Target
from starlette.testclient import TestClient

from enginehouse.manifest import EmbeddingFacts
from enginehouse.settings import EndpointSettings, Settings
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, FakeReplica
from tests.conftest import wait_until

_FACTS = EmbeddingFacts(dimensions=2, max_tokens=8, pooling="mean", normalise=True)


@contextmanager
def _serving(home: Path, make_revision: MakeRevision, endpoint: str) -> Iterator[TestClient]:
    """An embedding model that sorts before both text models."""
    file = home / "endpoint.yaml"
    file.write_text(endpoint)
    texts = ("beta", "gamma")
    loaded = {"alpha": {1}} | {name: {1} for name in texts}
    loaded |= {f"{name}.tensorrt_llm": {1} for name in texts}
    replica = FakeReplica(loaded, pins=dict.fromkeys(texts, 1), embeddings=frozenset({"alpha"}))

    def opened(name: str, version: int) -> Served | Revision:
        made = make_revision(name, version)
        if name != "alpha":
            return made
        return Served(Target(name, version), made.manifest.model_copy(update={"embedding": _FACTS}))

    settings = Settings(home=home, fleet="host:1", endpoint=EndpointSettings(file=file))
    connect = FakeFleet([replica]).connect
    with TestClient(create_app(settings, connect=connect, open_version=opened)) as http:
        wait_until(lambda: len(http.get("/v1/models").json()["data"]) >= 3, "the models")
        yield http


@pytest.mark.parametrize(
    ("endpoint", "listed"),
    [
        ("{}", ["beta", "gamma", "alpha"]),
        ("models: {default: gamma}", ["gamma", "beta", "alpha"]),
        ("models: {default: none-of-them}", ["beta", "gamma", "alpha"]),
        (
            "models: {default: openai/gpt-x, aliases: {openai/gpt-x: gamma, emb: alpha}}",
            ["openai/gpt-x", "beta", "gamma", "alpha", "emb"],
        ),
    ],
)
def test_the_first_model_answers_chats(
    tmp_path: Path, make_revision: MakeRevision, endpoint: str, listed: list[str]
) -> None:
    with _serving(tmp_path, make_revision, endpoint) as http:
        assert [model["id"] for model in http.get("/v1/models").json()["data"]] == listed


@pytest.mark.parametrize("path", ["org/team/gpt-x", "org%2Fteam%2Fgpt-x"])
def test_a_name_with_slashes_is_found(
    tmp_path: Path, make_revision: MakeRevision, path: str
) -> None:
    with _serving(tmp_path, make_revision, "models: {aliases: {org/team/gpt-x: gamma}}") as http:
        found = http.get(f"/v1/models/{path}").json()
        assert (found["id"], found["enginehouse"]["alias_of"]) == ("org/team/gpt-x", "gamma")
        missing = http.get("/v1/models/org/none")
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"
