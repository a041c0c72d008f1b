"""Asynchronous client of one Triton."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Self

import grpc
import grpc.aio
from enginehouse.client.embedding import (
    ATTEMPTS_AT_ONE_VERSION,
    CALLS_AT_ONCE,
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
    decode_described,
    decode_text,
    encode_describe,
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

from enginehouse.errors import DeadlineError, EngineUnavailableError
from enginehouse.generation import Chunk, GenerationRequest, Sampling
from enginehouse.retry import RetryPolicy
from enginehouse.supervision import start_job
from enginehouse.triton_control import grpc_metadata

#: All streams share one channel, so message sizes are not limited.
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
)
_SETTLE_S = 2.0


class AsyncTritonClient:
    """Client of the tensor contract; one instance serves any number of concurrent requests."""

    def __init__(
        self,
        address: str,
        *,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        control_secret: str | None = None,
    ) -> None:
        """Connects on the first call; the arguments are those of `TritonClient`."""
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._rpc: Any = rpc.GRPCInferenceServiceStub(self._channel)
        self._deadlines = deadlines or Deadlines()
        self._retry = retry or RetryPolicy()
        self._control = grpc_metadata(control_secret)
        self._settling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; open streams are cancelled."""
        await asyncio.gather(*self._settling)
        await self._channel.close(None)

    async def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Send token ids, receive chunks of token ids; the last chunk has `finish`.

        Closing the iterator cancels the request on the engine. If the engine is unavailable and
        nothing has been received, the request is retried.

        Raises:
            ServingError: one of its subclasses, see `enginehouse.errors`.
        """
        limits = deadlines or self._deadlines
        message = encode_request(target, request)
        began = time.monotonic()
        retries = self._retry.retries()
        started = False
        while True:
            decoder = ChunkDecoder(request)
            try:
                async with aclosing(self._responses(message, limits, began)) as responses:
                    async for response in responses:
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
                await asyncio.sleep(pause_s)

    async def generate_text(
        self,
        model: str,
        text: str,
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        stream: bool = True,
        request_id: str = "",
        ignore_end: bool = False,
    ) -> AsyncGenerator[str, None]:
        """Send text, receive chunks of text, through the ensemble `model`.

        Args:
            ignore_end: generate `max_tokens` tokens, regardless of end tokens.

        Raises:
            ServingError: one of its subclasses.
        """
        message = encode_text(
            model,
            text,
            max_tokens,
            sampling or Sampling(),
            stream=stream,
            request_id=request_id,
            ignore_end=ignore_end,
        )
        async with aclosing(self._responses(message, self._deadlines, time.monotonic())) as stream_:
            async for response in stream_:
                piece, final = decode_text(response)
                if piece:
                    yield piece
                if final:
                    return

    async def embed(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        priority: int = 0,
    ) -> Embeddings:
        """Embed texts, all with one version; many texts are split over several calls.

        Retries if the engine is unavailable. Cancelling this cancels the calls.

        Args:
            target: an embedding model; without a version, the serving one.
            priority: a level of `enginehouse.contract`; 0 is the default.

        Raises:
            ServingError: one of its subclasses; one rejected text fails the whole request.
        """
        messages = encode_embed(target, texts, priority)
        limits = deadlines or self._deadlines
        for _ in range(ATTEMPTS_AT_ONE_VERSION):
            joined = join(await self._embed_each(messages, limits))
            if joined is not None:
                return joined
        raise versions_changed(target.model)

    async def _embed_each(self, messages: Sequence[Any], limits: Deadlines) -> list[Embeddings]:
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def call(message: Any) -> Embeddings:
            async with room:
                return decode_embed(await self._infer(message, limits))

        tasks = [asyncio.create_task(call(message)) for message in messages]
        try:
            return await asyncio.gather(*tasks)
        finally:
            # If one call fails or the caller cancels, the others are cancelled too.
            for task in tasks:
                task.cancel()

    async def _infer(self, message: Any, limits: Deadlines) -> Any:
        """One unary call, retried while the engine is unavailable."""
        retries, began = self._retry.retries(), time.monotonic()
        while True:
            left_s = limits.left_s(time.monotonic() - began)
            try:
                return await self._rpc.ModelInfer(message, timeout=left_s)
            except grpc.aio.AioRpcError as error:
                ours = error_from_rpc(error)
                left_s = limits.left_s(time.monotonic() - began)
                again = isinstance(ours, EngineUnavailableError)
                pause_s = retries.pause_s(left_s=left_s) if again else None
                if pause_s is None:
                    raise ours from error
            await asyncio.sleep(pause_s)

    async def stop(self, target: Target, request_id: str) -> None:
        """End a request with the contract's `stop` input.

        Raises:
            ServingError: one of its subclasses.
        """
        message = encode_stop(target, request_id)
        async with aclosing(self._responses(message, self._deadlines, time.monotonic())) as stream:
            async for _ in stream:
                return

    async def describe(self, target: Target) -> bytes:
        """Facts that determine an engine's numerical results, as JSON; empty if not supported.

        Raises:
            ServingError: one of its subclasses.
        """
        message = encode_describe(target)
        async with aclosing(self._responses(message, self._deadlines, time.monotonic())) as stream:
            async for response in stream:
                return decode_described(response)
        return b""

    async def repository_index(self) -> list[tuple[str, str, str]]:
        """Name, version and state of every model version that Triton knows.

        Raises:
            ServingError: if Triton does not answer.
        """
        reply = await self._call(self._rpc.RepositoryIndex, pb.RepositoryIndexRequest())
        return [(m.name, m.version, m.state) for m in reply.models]

    async def model_config(self, name: str) -> Any:
        """The `ModelConfig` message of a loaded model.

        Raises:
            ServingError: if it is not loaded, or Triton does not answer.
        """
        reply = await self._call(self._rpc.ModelConfig, pb.ModelConfigRequest(name=name))
        return reply.config

    async def _call(self, method: Any, request: Message) -> Any:
        try:
            limit_s = self._deadlines.between_tokens_s
            return await method(request, timeout=limit_s, metadata=self._control)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error

    async def _responses(
        self, message: Any, limits: Deadlines, began: float
    ) -> AsyncGenerator[Any, None]:
        """Send one request on its own stream, so that closing it cancels only this request."""
        call = self._rpc.ModelStreamInfer()
        started = ended = False
        try:
            await call.write(message)
            await call.done_writing()
            while not ended:
                wait_s = limits.wait_s(elapsed_s=time.monotonic() - began, started=started)
                async with asyncio.timeout(wait_s):
                    response = await call.read()
                if not isinstance(response, pb.ModelStreamInferResponse):
                    break
                started = True
                ended = is_last(response)
                yield response
            if await call.code() != grpc.StatusCode.OK:
                raise error_from_rpc(await _failure(call))
        except TimeoutError:
            what = "next" if started else "first"
            raise DeadlineError(f"the {what} token did not come in time") from None
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except asyncio.InvalidStateError as error:
            raise error_from_rpc(await _failure(call)) from error
        finally:
            if ended:
                # The last response has arrived; do not wait for the stream to close.
                settling = start_job("stream-settle", _settle(call))
                self._settling.add(settling)
                settling.add_done_callback(self._settling.discard)
            else:
                call.cancel()


async def _settle(call: Any) -> None:
    """Wait for a completed stream to close by itself.

    Triton 2.51 counts a request as in flight for ever if its stream is cancelled just after the
    last response. Its version could then never be unloaded.
    """
    try:
        async with asyncio.timeout(_SETTLE_S):
            await call.code()
    except TimeoutError:
        call.cancel()


async def _failure(call: Any) -> grpc.aio.AioRpcError:
    """The status of a finished call, as an exception."""
    return grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        details=await call.details(),
        debug_error_string=None,
    )
