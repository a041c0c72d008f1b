"""One loaded version: bundle, runtime and loop together, warmed up and ready."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

from enginehouse.engine.codec import ModelLimits
from enginehouse.engine.job import Job
from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.runtime import load_runtime
from enginehouse.engine.stats import LoopStats

from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.text import Tokenizer

_WARM_UP_PROMPT_TOKENS = 64
_WARM_UP_TOKENS = 4


class EngineService:
    """Loads a bundle and runs it until `close`."""

    def __init__(
        self,
        bundle_dir: Path,
        settings: EngineSettings,
        publish: Callable[[LoopStats], None] = lambda _: None,
    ) -> None:
        """Load and warm up.

        Raises:
            BundleError: if the bundle is damaged, or does not fit this host.
        """
        bundle = Bundle.open(bundle_dir)
        runtime = load_runtime(bundle, settings)
        manifest = bundle.manifest
        tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        self.limits = ModelLimits(
            context_length=manifest.context_length,
            end_ids=frozenset(manifest.special_tokens.end_ids),
            unsupported_inputs=runtime.unsupported_inputs,
        )
        self.loop = EngineLoop(
            runtime, settings, token_bytes=tokenizer.token_bytes, publish=publish
        )
        self.loop.start()
        # What is loaded stays: a full collection would only walk it, between two steps.
        gc.freeze()
        self._warm_up(manifest.special_tokens.pad_id)

    def _warm_up(self, token: int) -> None:
        """The first request after a load is several times slower: let it be ours."""
        done = _Discard()
        request = GenerationRequest(
            input_ids=[token] * _WARM_UP_PROMPT_TOKENS, max_tokens=_WARM_UP_TOKENS
        )
        self.loop.submit(request, done)
        done.finished.wait()
        if done.error is not None:
            raise done.error

    def close(self) -> None:
        """End the loop; what is in flight fails."""
        self.loop.close()


class _Discard:
    """A sink that only notes the end."""

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
