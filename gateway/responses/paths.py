"""Paths of stored responses: names that the API gives to other things are never ids."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from starlette.convertors import StringConvertor, register_url_convertor

#: What stands at an id's place under `/v1/responses/` and is none, in OpenAI's API.
FIXED_NAMES = ("compact", "input_tokens")


class _ResponseId(StringConvertor):
    regex = rf"(?!(?:{'|'.join(FIXED_NAMES)})(?:/|$))[A-Za-z0-9_-]{{1,128}}"


register_url_convertor("response_id", _ResponseId())
#: The path of one response.
ONE_RESPONSE: Final = "/v1/responses/{response_id:response_id}"
#: An id of ours; nothing else is looked up.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
