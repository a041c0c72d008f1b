"""Blocking client of one Triton: generation, and the model control used by the stack."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import grpc
from enginehouse.client.aio import CHANNEL_OPTIONS
from enginehouse.client.embedding import (
    ATTEMPTS_AT_ONE_VERSION,
    Embeddings,
    decode_embed,
    encode_embed,
    join,
    versions_changed,
)
from enginehouse.client.policy import Deadlines
from enginehouse.client.wire import (
    ChunkDecoder,
    Target,
    decode_text,
    encode_request,
    encode_stop,
    encode_text,
    error_from_rpc,
    is_last,
    stream_cut,
)
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as rpc

from enginehouse.errors import DeadlineError, EngineUnavailableError, ServingError
from enginehouse.generation import Chunk, GenerationRequest, Sampling
from enginehouse.retry import RetryPolicy
from enginehouse.triton_control import grpc_metadata

_CONTROL_TIMEOUT_S = 30.0
_LOAD_TIMEOUT_S = 600.0


class TritonClient:
    """Client of the tensor contract and of Triton's model control."""

    def __init__(
        self,
        address: str,
        *,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        control_secret: str | None = None,
    ) -> None:
        """Connects on the first call.

        Args:
            address: ``host:port`` of Triton's gRPC port.
            control_secret: authorizes Triton's control APIs, see `enginehouse.triton_control`;
                None for clients that only run inference.
        """
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._rpc: Any = rpc.GRPCInferenceServiceStub(self._channel)
        self._deadlines = deadlines or Deadlines()
        self._retry = retry or RetryPolicy()
        self._control = grpc_metadata(control_secret)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; open streams are cancelled."""
        self._channel.close()

    def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> Iterator[Chunk]:
        """Send token ids, receive chunks of token ids; see `AsyncTritonClient.generate`.

        Raises:
            ServingError: one of its subclasses.
        """
        limits = deadlines or self._deadlines
        message = encode_request(target, request)
        began = time.monotonic()
        retries = self._retry.retries()
        started = False
        while True:
            decoder = ChunkDecoder(request)
            try:
                for response in self._responses(message, limits, began):
                    chunk = decoder.decode(response)
                    started = started or bool(chunk.token_ids)
                    yield chunk
                    if chunk.finish is not None:
                        return
                raise stream_cut()
            except EngineUnavailableError:
                left_s = limits.wait_s(elapsed_s=time.monotonic() - began, started=False)
                pause_s = None if started else retries.pause_s(left_s=left_s)
                if pause_s is None:
                    raise
                time.sleep(pause_s)

    def generate_text(
        self,
        model: str,
        text: str,
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        stream: bool = True,
        request_id: str = "",
    ) -> Iterator[str]:
        """Send text, receive chunks of text, through the ensemble `model`.

        Raises:
            ServingError: one of its subclasses.
        """
        message = encode_text(
            model, text, max_tokens, sampling or Sampling(), stream=stream, request_id=request_id
        )
        for response in self._responses(message, self._deadlines, time.monotonic()):
            piece, final = decode_text(response)
            if piece:
                yield piece
            if final:
                return

    def embed(self, target: Target, texts: Sequence[str], *, priority: int = 0) -> Embeddings:
        """Embed texts, one call after the other; see `AsyncTritonClient.embed`.

        Raises:
            ServingError: one of its subclasses.
        """
        messages = encode_embed(target, texts, priority)
        for _ in range(ATTEMPTS_AT_ONE_VERSION):
            joined = join([decode_embed(self._infer(message)) for message in messages])
            if joined is not None:
                return joined
        raise versions_changed(target.model)

    def _infer(self, message: Any) -> Any:
        """One unary call, retried while the engine is unavailable."""
        retries, began = self._retry.retries(), time.monotonic()
        while True:
            left_s = self._deadlines.left_s(time.monotonic() - began)
            try:
                return self._rpc.ModelInfer(message, timeout=left_s)
            except grpc.RpcError as error:
                ours = error_from_rpc(error)
                left_s = self._deadlines.left_s(time.monotonic() - began)
                again = isinstance(ours, EngineUnavailableError)
                pause_s = retries.pause_s(left_s=left_s) if again else None
                if pause_s is None:
                    raise ours from error
            time.sleep(pause_s)

    def stop(self, target: Target, request_id: str) -> None:
        """End a request with the contract's `stop` input.

        Raises:
            ServingError: one of its subclasses.
        """
        message = encode_stop(target, request_id)
        for _ in self._responses(message, self._deadlines, time.monotonic()):
            return

    def live(self) -> bool:
        """Whether Triton answers."""
        try:
            return bool(self._call(self._rpc.ServerLive, pb.ServerLiveRequest(), 1.0).live)
        except ServingError:
            return False

    def load(self, name: str) -> None:
        """Load a model from its files, or reload it.

        Raises:
            ServingError: with Triton's reason.
        """
        request = pb.RepositoryModelLoadRequest(model_name=name)
        self._call(self._rpc.RepositoryModelLoad, request, _LOAD_TIMEOUT_S)

    def unload(self, name: str) -> None:
        """Unload every version of a model.

        Raises:
            ServingError: with Triton's reason.
        """
        request = pb.RepositoryModelUnloadRequest(model_name=name)
        self._call(self._rpc.RepositoryModelUnload, request, _CONTROL_TIMEOUT_S)

    def repository_index(self) -> list[tuple[str, str, str]]:
        """Name, version and state of every model version that Triton knows.

        Raises:
            ServingError: if Triton does not answer.
        """
        reply = self._call(
            self._rpc.RepositoryIndex, pb.RepositoryIndexRequest(), _CONTROL_TIMEOUT_S
        )
        return [(m.name, m.version, m.state) for m in reply.models]

    def model_config(self, name: str) -> Any:
        """The `ModelConfig` message of a loaded model.

        Raises:
            ServingError: if it is not loaded, or Triton does not answer.
        """
        request = pb.ModelConfigRequest(name=name)
        return self._call(self._rpc.ModelConfig, request, _CONTROL_TIMEOUT_S).config

    def _call(self, method: Any, request: Message, timeout_s: float) -> Any:
        try:
            return method(request, timeout=timeout_s, metadata=self._control)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error

    def _responses(self, message: Any, limits: Deadlines, began: float) -> Iterator[Any]:
        """Read in a thread, so that waiting for each response can have a time limit."""
        call = self._rpc.ModelStreamInfer(iter([message]))
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(call, arrived), daemon=True).start()
        started = ended = False
        try:
            while not ended:
                wait_s = limits.wait_s(elapsed_s=time.monotonic() - began, started=started)
                response = arrived.get(timeout=wait_s)
                if response is None:
                    return
                if isinstance(response, grpc.RpcError):
                    raise error_from_rpc(response)
                started = True
                ended = is_last(response)
                yield response
        except queue.Empty:
            what = "next" if started else "first"
            raise DeadlineError(f"the {what} token did not come in time") from None
        finally:
            # A completed stream closes by itself, see `aio._settle`.
            if not ended:
                call.cancel()


def _read(call: Any, arrived: queue.SimpleQueue[Any]) -> None:
    try:
        for response in call:
            arrived.put(response)
    except grpc.RpcError as error:
        arrived.put(error)
    else:
        arrived.put(None)
