"""`POST /v1/embeddings`."""

from __future__ import annotations

import base64
import time
from typing import Any, Literal

import orjson
from enginehouse.api.account import OK, TENANT_HEADER, Account, Origin, code_of
from enginehouse.api.errors import VERSION_HEADER, name_version
from enginehouse.api.state import State
from enginehouse.api.streaming import until_disconnect
from enginehouse.client import Embeddings, Target
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import EnginehouseError, InvalidRequestError

router = APIRouter()
_MAX_INPUTS = 2048
_ENDPOINT = "embeddings"
Encoding = Literal["float", "base64"]


class EmbeddingRequest(BaseModel):
    """The request, as far as it is served; the rest is refused by name."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: StrictStr | list[StrictStr] | list[StrictInt] | list[list[StrictInt]]
    encoding_format: Encoding = "float"
    dimensions: int | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """The inputs, 1 to 2048 texts, none of them empty.

        Raises:
            InvalidRequestError: naming what is wrong with them.
        """
        inputs = [self.input] if isinstance(self.input, str) else self.input
        if not inputs:
            raise InvalidRequestError("input is empty: give at least one text", field="input")
        if len(inputs) > _MAX_INPUTS:
            raise InvalidRequestError(
                f"input has {len(inputs)} texts; at most {_MAX_INPUTS} fit one request: split it",
                field="input",
            )
        texts = [text for text in inputs if isinstance(text, str)]
        if len(texts) < len(inputs):
            raise InvalidRequestError(
                "input holds token ids, which are not supported: ids of another tokenizer would "
                "give wrong vectors and no error; send text",
                field="input",
            )
        if "" in texts:
            raise InvalidRequestError(
                f"input holds an empty text at index {texts.index('')}: leave it out", field="input"
            )
        return texts


@router.post("/v1/embeddings", response_model=None)
async def create_embeddings(body: EmbeddingRequest, request: Request, state: State) -> Response:
    """Vectors of texts, in their order, all of one version."""
    revision, facts, pinned = await state.router.embedding(body.model)
    target = revision.target
    headers = name_version(request, revision.version)
    tenant = request.headers.get(TENANT_HEADER)
    origin = Origin(target.model, revision.version, _ENDPOINT, "embd", tenant, pinned=pinned)
    account = Account(origin, state.metrics, state.samples)
    try:
        _check_dimensions(body, facts.dimensions)
        # The version is Triton's choice: one that has just been replaced is never asked for.
        asked = state.client.embed(target if pinned else Target(target.model), body.texts)
        with state.metrics.in_flight.labels(target.model).track_inprogress():
            began = time.perf_counter()
            found = await until_disconnect(request.receive, asked)
        _check_dimensions(body, found.vectors.shape[1])
    except EnginehouseError as error:
        account.close(code_of(error))
        raise
    account.prompt_tokens = sum(found.token_counts)
    account.close(OK, version=found.version)
    labels = (target.model, str(found.version))
    state.metrics.duration.labels(*labels).observe(time.perf_counter() - began)
    state.metrics.prompt_tokens.labels(*labels).inc(account.prompt_tokens)
    return Response(
        _body(body, found, account.prompt_tokens),
        media_type="application/json",
        headers=headers | {VERSION_HEADER: str(found.version)},
    )


def _check_dimensions(body: EmbeddingRequest, actual: int) -> None:
    if body.dimensions not in {None, actual}:
        raise InvalidRequestError(
            f"dimensions is {body.dimensions}, and {body.model!r} has vectors of {actual}; they "
            "cannot be shortened: leave it out",
            field="dimensions",
        )


def _body(body: EmbeddingRequest, found: Embeddings, tokens: int) -> bytes:
    """OpenAI's list; orjson writes float32 in as few digits as they need."""
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(row, body.encoding_format)}
        for index, row in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    whole = {"object": "list", "data": data, "model": body.model, "usage": usage}
    return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)


def _vector(row: Any, encoding: Encoding) -> Any:
    """A vector [dimensions] as numbers, or as base64 of its little-endian float32."""
    if encoding == "float":
        return row
    return base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
