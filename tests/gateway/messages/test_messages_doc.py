"""The table of docs/messages.md says what the server does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from enginehouse.gateway.messages.schemas import MessagesRequest
from pydantic import ValidationError

_DOC = Path(__file__).parents[3] / "docs" / "messages.md"
_ROW = re.compile(r"^\| `(\w+)` \| (supported|accepted|refused) \|", re.MULTILINE)
_ROWS = dict(_ROW.findall(_DOC.read_text(encoding="utf-8")))
#: What Anthropic takes, for fields that are refused.
_REFUSED: dict[str, Any] = {
    "compaction": {"type": "auto"},
    "container": "container_1",
    "fallbacks": [{"model": "x"}],
    "inference_geo": "us",
    "mcp_servers": [{"type": "url", "name": "x", "url": "https://x"}],
    "thread": {"id": "t"},
    "user_profile_id": "p",
    "workspace_id": "w",
}


def test_every_field_of_the_server_has_a_row() -> None:
    assert set(_ROWS) == set(MessagesRequest.model_fields)
    assert {name for name, kind in _ROWS.items() if kind == "refused"} == set(_REFUSED)


@pytest.mark.parametrize("field", sorted(_REFUSED))
def test_a_field_is_refused_as_its_row_says(field: str) -> None:
    whole = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(ValidationError) as failed:
        MessagesRequest.model_validate({**whole, field: _REFUSED[field]})
    (error,) = failed.value.errors()
    assert (error["loc"][0], error["type"]) == (field, "unsupported_parameter")
