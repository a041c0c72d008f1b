"""The example of docs/stages.md is a stage that works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.registration import Registration
from starlette.testclient import TestClient

from enginehouse.settings import load_settings

_PAGE = Path(__file__).parents[2] / "docs" / "stages.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ASKED = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def client(tmp_path: Path) -> Any:
    """An adapter that has the example for its one stage, and no fleet."""
    page = _PAGE.read_text(encoding="utf-8")
    (example,) = _EXAMPLE.findall(page)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - the page's own code
    stage = names["registration"]
    assert isinstance(stage, Registration)
    environ = {"ENGINEHOUSE_HOME": str(tmp_path), "ENGINEHOUSE_TRITON_GRPC_PORT": "1"}
    app = create_app(load_settings(environ, cwd=tmp_path), stages=[stage])
    with TestClient(app, raise_server_exceptions=False) as running:
        yield running


def test_the_example_refuses_a_call_without_the_field(client: TestClient) -> None:
    refused = client.post("/v1/chat/completions", json=_ASKED)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "user"


def test_the_example_lets_other_calls_through(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={**_ASKED, "user": "a"})
    # Behind the stage no replica is there to answer.
    assert answer.json()["error"]["param"] != "user"
