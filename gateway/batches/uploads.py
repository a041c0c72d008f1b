"""Parses the multipart form of an upload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from enginehouse.api.json_route import check_content_type
from enginehouse.gateway.batches.schemas import ExpiresAfter
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from enginehouse.errors import InvalidRequestError
from enginehouse.requests import problem_of

_MOST_FIELDS = 10
_MOST_FIELD_BYTES = 1_024
_MOST_NAME_CHARACTERS = 255
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_FIELDS = {"file", "purpose", _ANCHOR, _SECONDS}

#: Schema of the form, for the OpenAPI document.
UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "minLength": 1},
                        "purpose": {"type": "string", "enum": ["batch"]},
                        _ANCHOR: {"type": "string", "enum": ["created_at"]},
                        _SECONDS: {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                    "dependentRequired": {_ANCHOR: [_SECONDS], _SECONDS: [_ANCHOR]},
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file.

    Attributes:
        expires_s: seconds until it expires, or None.
    """

    filename: str
    source: IO[bytes]
    expires_s: float | None


@asynccontextmanager
async def uploaded(request: Request) -> AsyncIterator[Upload]:
    """An upload for a batch; its content is available until the block ends.

    Raises:
        InvalidRequestError: naming the field of the form that is wrong.
        HTTPException: 415 if it is not a multipart form, 400 if it cannot be parsed.
    """
    check_content_type(request, "multipart/form-data")
    form = request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD_BYTES)
    async with form as fields:
        yield _checked(fields)


def _checked(form: FormData) -> Upload:
    for name in form:
        if name not in _FIELDS:
            shown = name[:_MOST_NAME_CHARACTERS]
            raise InvalidRequestError(f"Unknown parameter: {shown!r}. Remove it.", field=shown)
        if len(form.getlist(name)) > 1:
            raise InvalidRequestError(f"{name} is given more than once", field=name)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidRequestError(
            "file is missing: send multipart/form-data with a file of that name", field="file"
        )
    if form.get("purpose") != "batch":
        raise InvalidRequestError(
            f"purpose is {form.get('purpose')!r}: files are taken for batches alone, give 'batch'",
            field="purpose",
        )
    if not file.size:
        raise InvalidRequestError("file is empty", field="file")
    return Upload(_safe(file.filename or "upload.jsonl"), file.file, _expires_s(form))


def _expires_s(form: FormData) -> float | None:
    if _ANCHOR not in form and _SECONDS not in form:
        return None
    given = {"anchor": form.get(_ANCHOR), "seconds": form.get(_SECONDS)}
    try:
        return float(ExpiresAfter.model_validate(given).seconds)
    except ValidationError as error:
        problem = problem_of(error.errors(), given)
        name = f"expires_after[{problem.param}]"
        message = problem.message.replace(repr(problem.param), repr(name))
        raise InvalidRequestError(message, field=name) from None


def _safe(filename: str) -> str:
    """A file name for display: short, and on one line."""
    shown = "".join(c if c.isprintable() else "_" for c in filename)
    return shown[-_MOST_NAME_CHARACTERS:]
