"""Chat, completions, embeddings and models, asked of an adapter in front of fake replicas."""

from __future__ import annotations

from pathlib import Path

from enginehouse.api.app import create_app
from enginehouse.api.revision import Served
from enginehouse.client import Target
from starlette.testclient import TestClient

from enginehouse.settings import Settings
from tests.api.embedding_replica import FACTS, EmbeddingReplica
from tests.api.speaking import manifest_at, speaking
from tests.client.fakes import FakeFleet
from tests.conftest import wait_until


def ask_everything(home: Path) -> None:
    """Ask what the adapter serves by itself.

    Raises:
        AssertionError: naming the answer that is wrong.
    """
    with speaking(home) as adapter:
        answer = adapter.chat("Well.")
        assert answer["choices"][0]["message"]["content"] == "Well.", answer
        chunks = adapter.chat("Well.", stream=True)
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == "Well."
        assert adapter.complete("Well.", prompt="Hi")["choices"][0]["text"] == "Well."
        assert adapter.http.get("/v1/models").json()["data"][0]["id"] == "smollm2"
        assert adapter.http.get("/health/live").status_code == 200
        assert "enginehouse_requests_total" in adapter.http.get("/metrics").text
    _ask_for_vectors(home / "vectors")


def _ask_for_vectors(home: Path) -> None:
    manifest = manifest_at(home / "bundle").model_copy(update={"embedding": FACTS})

    def opened(name: str, version: int) -> Served:
        return Served(Target(name, version), manifest)

    replica = EmbeddingReplica({"minilm": {1}}, embeddings=frozenset({"minilm"}))
    app = create_app(
        Settings(home=home, fleet="host:1"),
        connect=FakeFleet([replica]).connect,
        open_version=opened,
    )
    with TestClient(app) as http:
        wait_until(lambda: bool(http.get("/v1/models").json()["data"]), "the model")
        answer = http.post("/v1/embeddings", json={"model": "minilm", "input": "Hi"})
        assert answer.status_code == 200, answer.text
