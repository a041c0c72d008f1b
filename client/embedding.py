"""Encoding of embedding requests and responses: calls to `<model>` of an embedding model."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from enginehouse.client.wire import Target
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb

from enginehouse.contract import EMBEDDING_MAX_BATCH
from enginehouse.errors import EngineUnavailableError, InvalidRequestError

#: Concurrent calls of one request, so that a large request does not block others.
CALLS_AT_ONCE = 4
#: A new version may take over between two calls of one request; then all are repeated.
ATTEMPTS_AT_ONE_VERSION = 3
# Triton's own request parameter, for `priority_levels` of dynamic batching.
_PRIORITY_PARAMETER = "priority"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of n texts, in the order of the texts.

    Attributes:
        vectors: float32 [n, dimensions].
        token_counts: tokens of each text, including special tokens.
        version: the version that computed all vectors.
    """

    vectors: NDArray[np.float32]
    token_counts: list[int]
    version: int


def encode_embed(target: Target, texts: Sequence[str], priority: int = 0) -> list[Any]:
    """Encode texts as calls of at most `EMBEDDING_MAX_BATCH` texts each.

    Args:
        priority: a level of `contract`; 0 uses the model's default.

    Raises:
        InvalidRequestError: if there are no texts, or one is not valid Unicode.
    """
    if not texts:
        raise InvalidRequestError("there is no text to embed: give at least one", field="input")
    return [_encode(target, batch, priority) for batch in _batches(texts)]


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(texts), EMBEDDING_MAX_BATCH):
        yield texts[at : at + EMBEDDING_MAX_BATCH]


def _encode(target: Target, texts: Sequence[str], priority: int) -> Any:
    message = pb.ModelInferRequest(model_name=target.model, model_version=target.version_text)
    message.inputs.add(name="text_input", datatype="BYTES", shape=[len(texts), 1])
    message.raw_input_contents.append(b"".join(_text(text) for text in texts))
    for name in ("embedding", "num_input_tokens"):
        message.outputs.add(name=name)
    if priority:
        message.parameters[_PRIORITY_PARAMETER].int64_param = priority
    return message


def _text(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"a text is not valid Unicode: {error}", field="input") from error
    return struct.pack("<I", len(raw)) + raw


def decode_embed(response: Any) -> Embeddings:
    """Decode one `ModelInferResponse`."""
    raw = {
        output.name: (content, tuple(output.shape))
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    content, shape = raw["embedding"]
    return Embeddings(
        vectors=np.frombuffer(content, dtype="<f4").reshape(shape),
        token_counts=np.frombuffer(raw["num_input_tokens"][0], dtype="<i4").tolist(),
        version=int(response.model_version),
    )


def join(parts: Sequence[Embeddings]) -> Embeddings | None:
    """Join the results of one request's calls; None if they are from several versions."""
    versions = {part.version for part in parts}
    if len(versions) > 1:
        return None
    return Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        token_counts=[count for part in parts for count in part.token_counts],
        version=versions.pop(),
    )


def versions_changed(model: str) -> EngineUnavailableError:
    """The error if every attempt got results of several versions, which cannot be compared."""
    return EngineUnavailableError(
        f"{model} changed its version while the request ran: send it again"
    )
