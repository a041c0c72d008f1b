from __future__ import annotations

import pytest
from enginehouse.api.errors import error_response

from enginehouse import errors
from enginehouse.http_errors import error_body, status_of


def _tree(cls: type[errors.EnginehouseError]) -> list[type[errors.EnginehouseError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _tree(sub))]


@pytest.mark.parametrize("cls", _tree(errors.ServingError))
def test_every_serving_error_crosses_triton_and_keeps_its_type(
    cls: type[errors.ServingError],
) -> None:
    sent = cls("it [really] failed: 3 of 4", field="max_tokens")
    text = f"in ensemble 'smollm2', [request id: 7] {errors.to_wire(sent)}"
    received = errors.from_wire(text)
    assert type(received) is cls
    assert (str(received), received.field) == (str(sent), "max_tokens")


@pytest.mark.parametrize("cls", _tree(errors.EnginehouseError))
def test_every_error_has_a_status_and_an_openai_body(cls: type[errors.EnginehouseError]) -> None:
    status, _ = status_of(cls("x"))
    body = error_body(cls("x"))["error"]
    assert 400 <= status < 600
    assert body.keys() == {"message", "type", "param", "code"}


def test_busy_answers_say_when_to_try_again() -> None:
    assert error_response(errors.QueueFullError("full")).headers["retry-after"] == "1"
    assert error_response(errors.EngineUnavailableError("gone")).status_code == 503


def test_the_contracts_input_names_become_the_apis() -> None:
    body = error_body(errors.InvalidRequestError("x", field="runtime_top_p"))
    assert body["error"]["param"] == "top_p"
