"""Paths of stored responses; names that the API uses for other resources are never ids."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from starlette.convertors import StringConvertor, register_url_convertor

#: Path segments under `/v1/responses/` that OpenAI's API uses for something other than an id.
FIXED_NAMES = ("compact", "input_tokens")


class _ResponseId(StringConvertor):
    regex = rf"(?!(?:{'|'.join(FIXED_NAMES)})(?:/|$))[A-Za-z0-9_-]{{1,128}}"


register_url_convertor("response_id", _ResponseId())
#: The path of one response.
ONE_RESPONSE: Final = "/v1/responses/{response_id:response_id}"
#: Format of a response id; other ids are not looked up.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
