"""One loaded version: its bundle, runtime and loop, warmed up and ready to serve."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from enginehouse.engine.bad_words import forbid
from enginehouse.engine.codec import ModelLimits
from enginehouse.engine.guide_room import GuideRoom
from enginehouse.engine.guides import GuideCompiler
from enginehouse.engine.identity import as_text, engine_identity
from enginehouse.engine.job import Job, Sink
from enginehouse.engine.judged import JudgedSink
from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.runtimes import load_runtime
from enginehouse.engine.stats import LoopStats
from enginehouse.engine.tracing import EngineSpans

from enginehouse.bundle import Bundle
from enginehouse.errors import InvalidRequestError, ServingError
from enginehouse.generation import Chunk, GenerationRequest, Guide, GuideKind
from enginehouse.manifest import EngineSettings
from enginehouse.text import Tokenizer

_WARM_UP_PROMPT_TOKENS = 64
_WARM_UP_TOKENS = 4
_WARM_UP_GUIDE = Guide(GuideKind.REGEX, "[a-z]+")


class EngineService:
    """Loads a bundle and serves requests until `close`."""

    def __init__(
        self,
        bundle_dir: Path,
        settings: EngineSettings,
        publish: Callable[[LoopStats], None] = lambda _: None,
        spans: EngineSpans | None = None,
    ) -> None:
        """Load and warm up.

        Args:
            bundle_dir: the engine bundle.
            settings: settings of the engine.
            publish: called with the loop's statistics a few times a second.
            spans: exports spans of requests that belong to a trace. `close` closes it.

        Raises:
            BundleError: if the bundle is damaged, or does not fit this host.
        """
        bundle = Bundle.open(bundle_dir)
        runtime = load_runtime(bundle, settings)
        manifest = bundle.manifest
        self._runtime = runtime
        self._spans = spans
        self._tokenizer = tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        self.identity = as_text(engine_identity(manifest, settings))
        self.block_tokens = runtime.block_tokens
        self.limits = ModelLimits(
            context_length=manifest.context_length,
            end_ids=frozenset(manifest.special_tokens.end_ids),
            unsupported_inputs=runtime.unsupported_inputs,
            max_sequences=settings.max_batch,
            adapters=tuple(adapter.name for adapter in manifest.adapters),
        )
        self._loop = EngineLoop(
            runtime, settings, token_bytes=tokenizer.token_bytes, publish=publish
        )
        self._loop.start()
        self._guides = GuideRoom(
            GuideCompiler(bundle.tokenizer_path, list(manifest.special_tokens.end_ids)),
            self._loop.submit,
            settings.max_queue + settings.max_batch,
        )
        # Loaded objects live as long as the process. Exempt them from garbage collection, which
        # would traverse them between two steps.
        gc.freeze()
        self._warm_up(manifest.special_tokens.pad_id)

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Queue a request. If it has a guide, the guide is compiled first.

        Raises:
            InvalidRequestError: if the runtime does not support the request.
            QueueFullError: if too many requests wait.
            EngineUnavailableError: if the loop has ended.
        """
        if self._spans is not None:
            sink = self._spans.followed(request, sink)
        guide = request.guide
        if request.bad_words and self._runtime.bad_words_need_a_guide:
            if guide is not None:
                raise InvalidRequestError(
                    "this runtime cannot combine bad words with guided decoding: leave one out",
                    field="bad_words_list",
                )
            guide = forbid(self._tokenizer.decode(word) for word in request.bad_words)
        if guide is None:
            self._loop.submit(request, sink)
        else:
            _check_end(request)
            if guide.kind in {GuideKind.JSON, GuideKind.JSON_SCHEMA}:
                sink = JudgedSink(sink, partial(self._judge, guide))
            self._guides.submit(replace(request, guide=guide), guide, sink)

    def _judge(self, guide: Guide, ids: Sequence[int]) -> None:
        """Validate a finished answer against its guide, and count a violation."""

        def violated() -> None:
            self._loop.stats.guide_violations += 1

        self._guides.hold_against(guide, self._tokenizer.decode(ids), violated)

    def cancel(self, request_id: str) -> int:
        """End every request with this client-given id; return how many there were."""
        return self._guides.cancel(request_id) + self._loop.cancel(request_id)

    def _warm_up(self, token: int) -> None:
        """Serve two requests, because the first one after a load is several times slower."""
        plain = GenerationRequest(
            input_ids=[token] * _WARM_UP_PROMPT_TOKENS, max_tokens=_WARM_UP_TOKENS
        )
        # The first guide initialises the engine's own compiler inside a step.
        guided = replace(plain, guide=_WARM_UP_GUIDE)
        adapted = [replace(plain, adapter=name) for name in self.limits.adapters]
        guides = "guided_decoding_guide" not in self.limits.unsupported_inputs
        for request in (plain, *([guided] if guides else []), *adapted):
            done = _Discard()
            self._loop.submit(request, done)
            done.finished.wait()
            if done.error is not None:
                raise done.error

    def close(self) -> None:
        """End the loop and release the engine; requests in flight fail."""
        self._loop.close()
        self._guides.close()
        self._runtime.close()
        if self._spans is not None:
            self._spans.close()


def _check_end(request: GenerationRequest) -> None:
    """Check that an answer with a guide may end where the guide ends.

    The guide does not constrain what an engine generates past its end.

    Raises:
        InvalidRequestError: if the request ignores the end token or sets `min_tokens`.
    """
    if not request.end_ids:
        raise InvalidRequestError(
            "the end cannot be ignored in an answer with a guide or bad words: leave end_id "
            "(ignore_eos) out",
            field="end_id",
        )
    if request.sampling.min_tokens:
        raise InvalidRequestError(
            f"min_tokens is {request.sampling.min_tokens}, but a guide or bad words say where "
            "the answer may end: leave it out",
            field="min_tokens",
        )


class _Discard:
    """A sink that drops the tokens and signals the end."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.error: ServingError | None = None

    def send(self, _job: Job, chunk: Chunk, /) -> None:
        if chunk.finish is not None:
            self.finished.set()

    def fail(self, error: ServingError) -> None:
        self.error = error
        self.finished.set()

    def cancelled(self) -> bool:
        return False
