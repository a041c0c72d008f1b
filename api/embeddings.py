"""`POST /v1/embeddings`."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson
from enginehouse.api.attempts import tenant_of
from enginehouse.api.boundary import RequestModel
from enginehouse.api.call import CHARACTERS_A_TOKEN, Ask, Call, Expected, ServedBy
from enginehouse.api.caller import new_call
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import Piece, Usage
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.state import ApiState, State
from enginehouse.api.streaming import until_disconnect
from enginehouse.client import Embeddings, Target
from enginehouse.gateway.samples.account import OK, UNEXPECTED, Account, RequestOrigin, code_of
from enginehouse.gateway.samples.ring import CLIENT_GONE
from fastapi import APIRouter
from pydantic import BaseModel, StrictStr
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import EnginehouseError, InvalidRequestError
from enginehouse.generation import FinishReason
from enginehouse.manifest import EmbeddingFacts
from enginehouse.requests.wire_types import PositiveCount, TokenId

router = APIRouter(route_class=JsonRoute)
_MAX_INPUTS = 2048
_ENDPOINT = "embeddings"
Encoding = Literal["float", "base64"]


class EmbeddingRequest(RequestModel):
    """The request, as far as it is served; the rest is refused by name."""

    model: str
    input: StrictStr | list[StrictStr] | list[TokenId] | list[list[TokenId]]
    encoding_format: Encoding = "float"
    dimensions: PositiveCount | None = None
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
                "input holds token ids, which are not supported: they are the ids of the client's "
                "tokenizer, and this model's would give wrong vectors for them and no error. Send "
                "text; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
                field="input",
            )
        if "" in texts:
            raise InvalidRequestError(
                f"input holds an empty text at index {texts.index('')}: leave it out", field="input"
            )
        return texts


class EmbeddingBody(BaseModel):
    """One vector, as numbers or as base64 of its little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens of the inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """Vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[EmbeddingBody]
    model: str
    usage: EmbeddingUsage


@router.post(
    "/v1/embeddings",
    response_model=None,
    responses={200: {"model": EmbeddingList}, **error_responses()},
)
async def create_embeddings(body: EmbeddingRequest, request: Request, state: State) -> Response:
    """Vectors of texts, in their order, all of one version."""
    texts = body.texts
    work = _Work(body, state)
    ask = Ask(_ENDPOINT, "embd", stream=False, include_usage=False, run=work.run)
    call = new_call(request, ask, body.model, user=body.user)
    call.texts = list(texts)
    call.expected = Expected(sum(len(text) for text in texts) // CHARACTERS_A_TOKEN)
    request.state.response_headers = call.response_headers
    await until_disconnect(request.receive, _ended(state.pipeline(call)))
    assert work.found is not None  # noqa: S101 - it has run
    tokens = sum(work.found.token_counts)
    return Response(
        _body(body, work.found, tokens),
        media_type="application/json",
        headers=call.response_headers,
    )


async def _ended(pieces: AsyncGenerator[Piece, None]) -> None:
    async with aclosing(pieces):
        async for _ in pieces:
            pass


@dataclass
class _Work:
    """The engine's part of one request."""

    body: EmbeddingRequest
    state: ApiState
    found: Embeddings | None = None

    async def run(self, call: Call) -> AsyncGenerator[Piece, None]:
        """One piece without text, once the vectors are there; see `Ask.run`."""
        state = self.state
        revision, facts, pinned = await state.router.embedding(call.model)
        target = revision.target
        call.served_by = ServedBy(target.model, revision.version, revision.fingerprint)
        call.response_headers[VERSION_HEADER] = str(revision.version)
        origin = RequestOrigin(target.model, revision.version, _ENDPOINT, "embd", tenant_of(call))
        account = Account(replace(origin, pinned=pinned), state.metrics, state.samples, call.id)
        code, asked = CLIENT_GONE, target if pinned else Target(target.model)
        try:
            # The version is Triton's choice where none is pinned: one just replaced is not asked.
            found = self.found = await self._found(call, asked, facts)
            account.prompt_tokens = sum(found.token_counts)
            code = OK
        except EnginehouseError as error:
            code = code_of(error)
            raise
        except Exception:
            code = UNEXPECTED
            raise
        finally:
            # Also when the caller goes: that cancels this task, and is no `Exception`.
            account.close(code, version=None if self.found is None else self.found.version)
        call.usage = Usage(account.prompt_tokens)
        call.served_by = replace(call.served_by, version=found.version)
        call.response_headers[VERSION_HEADER] = str(found.version)
        yield Piece("", finish=FinishReason.STOP)

    async def _found(self, call: Call, asked: Target, facts: EmbeddingFacts) -> Embeddings:
        state, metrics = self.state, self.state.metrics
        _check_dimensions(self.body, facts.dimensions)
        texts = [text for text in call.texts if isinstance(text, str)]
        with metrics.in_flight.labels(asked.model).track_inprogress():
            found = await state.client.embed(
                asked, texts, deadlines=state.engine.within(call.remaining_s())
            )
        _check_dimensions(self.body, found.vectors.shape[1])
        tokens = metrics.prompt_tokens.labels(asked.model, str(found.version))
        tokens.inc(sum(found.token_counts))
        return found


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
