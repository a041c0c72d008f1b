"""`POST /v1/embeddings`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from enginehouse.api.begun import completed
from enginehouse.api.boundary import RequestModel
from enginehouse.api.call import CHARACTERS_A_TOKEN, Ask, VectorCall, VectorRouted
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.received import received
from enginehouse.api.state import ApiState, State
from enginehouse.api.streaming import until_disconnect
from enginehouse.client import Embeddings, Target
from fastapi import APIRouter
from pydantic import BaseModel, StrictStr
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import EngineUnavailableError, InvalidRequestError
from enginehouse.requests.wire_types import PositiveCount, TokenId

router = APIRouter(route_class=JsonRoute)
_MAX_INPUTS = 2048
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
    call = received(
        VectorCall(
            Ask("embeddings", "embd"),
            body.model,
            user=body.user,
            texts=list(texts),
            form=_Embedded(body, state),
            expected_tokens=sum(len(text) for text in texts) // CHARACTERS_A_TOKEN,
        ),
        request,
    )
    request.state.response_headers = call.response_headers
    await until_disconnect(request.receive, completed(state.vectors, call))
    if call.found is None:
        raise EngineUnavailableError("the engine's stream ended too early")
    return Response(
        _body(body, call.found, call.usage.prompt_tokens),
        media_type="application/json",
        headers=call.response_headers,
    )


@dataclass(frozen=True, slots=True)
class _Embedded:
    """An embeddings request."""

    body: EmbeddingRequest
    state: ApiState

    async def vectors(self, routed: VectorRouted) -> Embeddings:
        """See `VectorForm`."""
        call, served, metrics = routed.call, routed.served, self.state.metrics
        if served.manifest.embedding is not None:
            _check_dimensions(self.body, served.manifest.embedding.dimensions)
        texts = [text for text in call.texts if isinstance(text, str)]
        # The version is Triton's choice where none is pinned: one just replaced is not asked.
        asked = served.target if routed.pinned else Target(served.target.model)
        with metrics.in_flight.labels(asked.model).track_inprogress():
            found = await self.state.client.embed(
                asked, texts, deadlines=self.state.engine.within(call.remaining_s())
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
