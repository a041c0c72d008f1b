"""The OpenAPI document against what the server does, by schemathesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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

from tests.conftest import RunningStack

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


@pytest.fixture(scope="session")
def operations(served: RunningStack) -> list[Any]:
    """Every method of every path of the document."""
    load_all_checks()
    document = openapi.from_url(f"{served.url}/openapi.json")
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
    operations: list[Any], subtests: pytest.Subtests, mode: GenerationMode
) -> None:
    assert operations
    for operation in operations:
        with subtests.test(msg=operation.label):
            _try(operation, mode, _as_made_up)


@pytest.mark.timeout(1200)
def test_the_same_with_models_that_are_there(
    operations: list[Any], subtests: pytest.Subtests
) -> None:
    asking = [one for one in operations if one.method == "post" and "admin" not in one.path]
    assert asking
    for operation in asking:
        with subtests.test(msg=operation.label):
            _try(operation, GenerationMode.POSITIVE, _aimed)
