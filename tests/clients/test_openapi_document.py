"""The OpenAPI document against what the server does, by schemathesis.

Requests that are made up meet an adapter alone, with fakes for its replicas; requests that get as
far as an engine meet the real one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from enginehouse.api.app import create_app
from enginehouse.api.revision import Revision
from enginehouse.client import Target
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from enginehouse.settings import Settings
from enginehouse.text import ChatTemplate
from tests.api.speaking import manifest_at
from tests.client.fakes import FakeFleet, generator
from tests.conftest import RunningStack, free_ports, wait_until
from tests.default_model import default_tokenizer

_EXAMPLES = 4
_FEW_TOKENS = 4
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Fields of a request that limit how much is generated.
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OWN_LIMIT = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
_MODELS = {"/v1/embeddings": "minilm"}


@pytest.fixture(scope="module")
def adapter_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adapter that listens, in this process, with one model that counts upwards."""
    home = tmp_path_factory.mktemp("adapter")
    manifest, tokenizer = manifest_at(home / "bundle"), default_tokenizer()
    template = ChatTemplate("{{ messages[0].content }}", tokenizer)

    def opened(name: str, version: int) -> Revision:
        return Revision(Target(name, version), manifest, tokenizer, template)

    settings = Settings(home=home, fleet="host:1")
    fleet = FakeFleet([generator(1)])
    app = create_app(settings, connect=fleet.connect, open_version=opened)
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), "the adapter")
        assert server.started
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def _operations(url: str) -> list[Any]:
    """Every method of every path of the document."""
    load_all_checks()
    document = openapi.from_url(f"{url}/openapi.json")
    return [result.ok() for result in document.get_all_operations()]


def _try(operation: Any, mode: GenerationMode, prepare: Callable[[Any], None]) -> None:
    """Send some requests that fit the document, or do not, and judge the answers by it."""

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def examples(case: Any) -> None:
        prepare(case)
        case.call_and_validate(checks=_CHECKS, timeout=60.0)

    try:
        examples()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise
        pytest.skip("it takes nothing that could be wrong")


def _as_made_up(_: Any) -> None: ...


def _aimed(case: Any) -> None:
    """A made-up model is always unknown; with ours, the fields behind it are tried as well."""
    body = case.body
    if not isinstance(body, dict) or "model" not in body:
        return
    body["model"] = _MODELS.get(case.operation.path, "smollm2")
    limit = _OWN_LIMIT.get(case.operation.path)
    for name in _LIMITS:
        body.pop(name, None)
    if limit is not None:
        body[limit] = _FEW_TOKENS
    if isinstance(body.get("n"), int):
        body["n"] = min(body["n"], 2)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_server_error_and_no_response_outside_its_schema(
    adapter_url: str, subtests: pytest.Subtests, mode: GenerationMode
) -> None:
    operations = _operations(adapter_url)
    assert operations
    for operation in operations:
        with subtests.test(msg=operation.label):
            _try(operation, mode, _as_made_up)


@pytest.mark.timeout(1200)
@pytest.mark.slow(reason="real answers to made-up requests; the test above has the same without")
def test_the_same_with_models_that_are_there(
    served: RunningStack, subtests: pytest.Subtests
) -> None:
    asking = [
        one for one in _operations(served.url) if one.method == "post" and "admin" not in one.path
    ]
    assert asking
    for operation in asking:
        with subtests.test(msg=operation.label):
            _try(operation, GenerationMode.POSITIVE, _aimed)
