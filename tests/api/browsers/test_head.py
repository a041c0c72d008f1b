from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.api.app import create_app
from starlette.testclient import TestClient

from enginehouse.settings import Settings
from tests.api.speaking import speaking


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with speaking(tmp_path_factory.mktemp("home")) as adapter:
        adapter.replica.says.extend(["ready"] * 100)
        yield adapter.http


def _gets() -> list[str]:
    schema = create_app(Settings(home=Path("unused"))).openapi()
    return sorted(path for path, methods in schema["paths"].items() if "get" in methods)


@pytest.mark.parametrize("path", _gets())
def test_head_answers_as_get_does_without_a_body(http: TestClient, path: str) -> None:
    concrete = path.replace("{model}", "smollm2").replace("{", "").replace("}", "")
    got, head = http.get(concrete), http.head(concrete)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.content == b""


def test_the_length_is_that_of_the_body_that_get_has(http: TestClient) -> None:
    assert http.head("/v1/models").headers["content-length"] == str(
        len(http.get("/v1/models").content)
    )


def test_head_of_what_has_no_get_is_refused(http: TestClient) -> None:
    assert http.head("/v1/chat/completions").status_code == 405


def test_health_has_a_short_name(http: TestClient) -> None:
    assert http.get("/health").json() == {"status": "live"}


def test_a_head_is_counted_under_its_route(http: TestClient) -> None:
    http.head("/v1/models/smollm2")
    assert 'method="HEAD",route="/v1/models/{model' in http.get("/metrics").text
