"""The `tensorrt_llm` runtime: NVIDIA's LLM API with a TensorRT plan or a checkpoint.

The library schedules and generates by itself. A thread with an asyncio event loop consumes the
stream of each request, and `step` waits until one of them has new tokens. All calls of the library
that concern a request are made on that thread, because its queues belong to one event loop.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Sequence
from typing import Any

from enginehouse.engine.fingerprint import check_fingerprint
from enginehouse.engine.runtime import Drained, SequenceSlot, SlotState
from enginehouse.engine.tensorrt_llm_arguments import (
    Decode,
    generate_arguments,
    llm_call,
    lora_call,
    resolved,
    sampling_call,
)
from enginehouse.engine.tensorrt_llm_calls import make
from enginehouse.engine.tensorrt_llm_releases import what_to_install
from enginehouse.engine.tensorrt_llm_section import settings_in
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.bundle import Bundle
from enginehouse.contract import ENGINE_INPUTS
from enginehouse.errors import BundleError, FingerprintError, InvalidRequestError
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.text import Tokenizer

#: Longest wait of `step` for new tokens, so that the loop sees cancellations and new requests.
_PATIENCE_S = 0.02
_STATS_TIMEOUT_S = 0.01
#: Inputs of the contract that this runtime supports.
_READ = frozenset(
    """
    input_ids input_lengths request_output_len num_return_sequences end_id pad_id
    stop_words_list bad_words_list beam_width temperature runtime_top_k runtime_top_p
    repetition_penalty min_tokens presence_penalty frequency_penalty seed return_log_probs
    return_perf_metrics return_num_input_tokens return_num_output_tokens
    exclude_input_in_output stop streaming lora_task_id guided_decoding_guide_type
    guided_decoding_guide
    """.split()  # noqa: SIM905 - a block of names is easier to read than a list of strings
)
_FINISHED = {"stop": SlotState.FINISHED_STOP, "length": SlotState.FINISHED_LENGTH}


#: TensorRT-LLM's default size of a KV cache block.
_BLOCK_TOKENS = 32
_UNSUPPORTED = frozenset(spec.name for spec in ENGINE_INPUTS) - _READ
_GUIDES = frozenset({"guided_decoding_guide_type", "guided_decoding_guide"})


class TensorRtLlmRuntime:
    """See `Runtime`."""

    unsupported_inputs = _UNSUPPORTED
    bad_words_need_a_guide = False
    computes_here = False
    kv_blocks = 0

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        """Load the bundle's engine.

        Raises:
            FingerprintError: if the library is missing, or the bundle does not fit this host.
            BundleError: if the manifest has no settings of this runtime.
        """
        manifest = bundle.manifest
        given = settings_in(manifest)
        if given is None:
            raise BundleError(
                f"{bundle.path}: field 'tensorrt_llm' is missing in the manifest; build it again"
            )
        require_package(given)
        check_fingerprint(manifest, settings)
        self._decode: Decode | None = Tokenizer.from_file(bundle.tokenizer_path).decode
        if given.guided_decoding is None:  # the library then loads no tokenizer
            self.unsupported_inputs = _UNSUPPORTED | _GUIDES
            self._decode = None
        self._settings = resolved(given, bundle.engine_dir)
        self.block_tokens = self._settings.kv_cache.tokens_per_block or _BLOCK_TOKENS
        self._tokens = manifest.special_tokens
        self._vocabulary_size = manifest.architecture.vocabulary_size
        self._llm = make(llm_call(self._settings, str(bundle.engine_dir), manifest.format))
        self._news = threading.Condition()
        self._slots: list[_TensorRtLlmSlot] = []
        self._usage = 0.0
        self._events = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(
            target=self._events.run_forever, name="tensorrt-llm-events", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Shut down the library and end the thread."""
        self._events.call_soon_threadsafe(self._events.stop)
        self._thread.join()
        self._events.close()
        self._llm.shutdown()

    def check(self, request: GenerationRequest) -> None:
        """See `Runtime.check`."""
        wrong = [i for i in request.input_ids if not 0 <= i < self._vocabulary_size]
        if wrong:
            raise InvalidRequestError(
                f"input_ids holds {wrong[0]}; ids of this model are 0 to "
                f"{self._vocabulary_size - 1}",
                field="input_ids",
            )
        self._check_length(request)
        if request.prompt_log_probs:
            raise InvalidRequestError(
                "this runtime gives no log-probabilities of a prompt: leave out either the echo or "
                "the log-probabilities",
                field="prompt_log_probs",
            )
        if request.guide is not None and self._settings.guided_decoding is None:
            raise InvalidRequestError(
                "this engine was set up without guided decoding: leave the guide out, or build "
                "with guided_decoding 'xgrammar'",
                field="guided_decoding_guide",
            )
        try:
            self._adapter(request)
            make(sampling_call(request, 0, self._tokens, self._decode))
        except ValueError as error:
            raise InvalidRequestError(f"the runtime refuses these parameters: {error}") from error

    def _check_length(self, request: GenerationRequest) -> None:
        most = self._settings.limits.max_input_len
        if len(request.input_ids) > most:
            raise InvalidRequestError(
                f"the prompt has {len(request.input_ids)} tokens, this engine takes {most}: "
                "shorten it, or build with a larger limits.max_input_len",
                field="input_ids",
            )

    def _adapter(self, request: GenerationRequest) -> Any:
        name = request.adapter
        if name is None:
            return None
        lora = self._settings.lora
        known = [] if lora is None else [adapter.name for adapter in lora.adapters]
        if lora is None or name not in known:
            raise InvalidRequestError(
                f"adapter {name!r} is not in this engine: it has {', '.join(known) or 'none'}",
                field="adapter",
            )
        return lora_call(lora, name)

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> SequenceSlot:
        """See `Runtime.admit`."""
        sampling = sampling_call(request, len(generated), self._tokens, self._decode)
        ids = [*request.input_ids, *generated]
        arguments = generate_arguments(ids, sampling, self._adapter(request))
        slot = _TensorRtLlmSlot(self._news, self._abandon)
        submitted = asyncio.run_coroutine_threadsafe(self._submit(slot, arguments), self._events)
        try:
            submitted.result()
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        self._slots.append(slot)
        return slot

    async def _submit(self, slot: _TensorRtLlmSlot, arguments: dict[str, Any]) -> None:
        made = {name: make(value) for name, value in arguments.items()}
        slot.output = self._llm.generate_async(**made)
        task = asyncio.get_running_loop().create_task(slot.consume())
        self._tasks.add(task)  # the event loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    def _abandon(self, slot: _TensorRtLlmSlot) -> None:
        self._slots = [other for other in self._slots if other is not slot]
        self._events.call_soon_threadsafe(slot.output.abort)

    def step(self) -> None:
        """See `Runtime.step`. Waits for new tokens; a failed request is reported by its slot."""
        with self._news:
            self._slots = [slot for slot in self._slots if not slot.closed]
            if self._slots:
                self._news.wait_for(self._has_news, _PATIENCE_S)

    def _has_news(self) -> bool:
        return any(slot.has_news for slot in self._slots)

    def kv_cache_usage(self) -> float:
        """See `Runtime.kv_cache_usage`. Returns the last known value if there is no newer one."""
        for iteration in self._llm.get_stats(timeout=_STATS_TIMEOUT_S):
            cache = iteration.get("kvCacheStats") or {}
            if cache.get("maxNumBlocks"):
                self.kv_blocks = int(cache["maxNumBlocks"])
                self._usage = float(cache["usedNumBlocks"]) / float(cache["maxNumBlocks"])
        return self._usage


class _TensorRtLlmSlot:
    """One stream of the library. The event loop's thread writes it, the engine loop reads it."""

    def __init__(
        self,
        news: threading.Condition,
        abandon: Callable[[_TensorRtLlmSlot], None],
    ) -> None:
        self.output: Any = None
        self.closed = False
        self._news = news
        self._abandon = abandon
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._seen = 0
        self._state = SlotState.RUNNING
        self._error = ""

    @property
    def has_news(self) -> bool:
        """Whether `drain` would return something."""
        return bool(self._ids) or self._state is not SlotState.RUNNING

    async def consume(self) -> None:
        """Read the stream to its end."""
        try:
            async for partial in self.output:
                self._take(partial.outputs[0])
            if self._state is SlotState.RUNNING:
                self._fail("the library ended the request without a reason")
        except Exception as error:  # noqa: BLE001 - any error of the library fails this request
            self._fail(f"{type(error).__name__}: {error}")

    def _take(self, completion: Any) -> None:
        """Add new tokens. `token_ids` holds all tokens so far, without a trailing stop id."""
        ids = list(completion.token_ids or ())
        fresh = ids[self._seen :]
        log_probs = [
            _log_prob(entry, token)
            for entry, token in zip((completion.logprobs or ())[self._seen :], fresh, strict=False)
        ]
        self._seen = max(self._seen, len(ids))
        reason = completion.finish_reason
        with self._news:
            self._ids.extend(fresh)
            self._log_probs.extend(log_probs)
            if reason in _FINISHED:
                self._state = _FINISHED[reason]
            elif reason is not None:
                self._state = SlotState.FAILED
                self._error = f"the library ended the request: {reason}"
            self._news.notify_all()

    def _fail(self, reason: str) -> None:
        with self._news:
            self._state, self._error = SlotState.FAILED, self._error or reason
            self._news.notify_all()

    def drain(self) -> Drained:
        with self._news:
            drained = Drained(self._ids, self._log_probs, self._state, self._error)
            self._ids, self._log_probs = [], []
            self.closed = self._state is not SlotState.RUNNING
        return drained

    def cancel(self) -> None:
        self.closed = True
        self._abandon(self)


def _log_prob(entry: Any, token: int) -> float:
    """The log-probability of a token. An entry is a number, or a mapping by id; NaN if absent."""
    if not isinstance(entry, dict):
        return float(entry)
    found = entry.get(token)
    return float("nan") if found is None else float(found.logprob)


def require_package(settings: TensorRtLlmSettings) -> None:
    """Check that the library is installed.

    Raises:
        FingerprintError: says what to install.
    """
    if importlib.util.find_spec("tensorrt_llm") is None:
        raise FingerprintError(
            f"TensorRT-LLM {settings.version} is missing on this host: {what_to_install(settings)}"
        )
