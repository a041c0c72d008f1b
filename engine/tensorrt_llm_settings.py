"""Settings of the runtime `tensorrt_llm`, typed, for every supported version of NVIDIA's library.

Two flavours: ``engine`` is a TensorRT plan that `trtllm-build` wrote, ``pytorch`` is a checkpoint
that the LLM API runs as it is. Nothing here imports the vendor's package. What a version lacks is
refused here, so that a build fails before it begins and not when the vendor's code sees it.

Names and versions are held to the facts in `tests/contract/tensorrt_llm/`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME, EngineManifest

Flavour = Literal["engine", "pytorch"]
#: Series of the vendor's releases; ``newest`` is the series after 1.2.
Series = Literal["1.0", "1.1", "1.2", "newest"]

#: The TensorRT plan was removed after 1.2, with the C++ backend of Triton.
SERIES: dict[Flavour, tuple[Series, ...]] = {
    "engine": ("1.0", "1.1", "1.2"),
    "pytorch": ("1.0", "1.1", "1.2", "newest"),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parallel(_Frozen):
    """How the network is spread over GPUs.

    Attributes:
        tensor: GPUs that share each layer.
        pipeline: stages, each with its own layers.
        expert: ways in which the experts of a mixture are spread, out of `tensor`.
        gpus_per_node: GPUs of one machine; ranks beyond them go to the next.
    """

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1
    expert: PositiveInt = 1
    gpus_per_node: PositiveInt = 8

    @property
    def world_size(self) -> int:
        """Ranks, one GPU each."""
        return self.tensor * self.pipeline

    @property
    def nodes(self) -> int:
        """Machines needed."""
        return -(-self.world_size // self.gpus_per_node)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tensor % self.expert:
            raise ValueError(
                f"parallel.expert is {self.expert} and must divide parallel.tensor, which is "
                f"{self.tensor}: choose {self.tensor} or one of its divisors"
            )
        if self.nodes > 1 and self.world_size % self.gpus_per_node:
            raise ValueError(
                f"parallel.tensor times parallel.pipeline is {self.world_size} and does not fill "
                f"nodes of {self.gpus_per_node} GPUs: set parallel.gpus_per_node to a divisor"
            )
        return self


class Limits(_Frozen):
    """Sizes that the engine is built for, or the LLM API is told; sequences and tokens.

    Attributes:
        max_batch_size: sequences in flight.
        max_input_len: tokens of a prompt.
        max_seq_len: tokens of prompt and answer together; None takes the model's own.
        max_num_tokens: tokens of one scheduling step, prompts' chunks included.
        max_beam_width: beams of a sequence.
    """

    max_batch_size: PositiveInt = 64
    max_input_len: PositiveInt = 4096
    max_seq_len: PositiveInt | None = None
    max_num_tokens: PositiveInt = 8192
    max_beam_width: PositiveInt = 1

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_seq_len is not None and self.max_input_len >= self.max_seq_len:
            raise ValueError(
                f"limits.max_input_len is {self.max_input_len} and leaves no room for an answer "
                f"in limits.max_seq_len, which is {self.max_seq_len}: lower the first"
            )
        return self


class KvCache(_Frozen):
    """The paged KV cache.

    Attributes:
        dtype: ``auto`` keeps the type of the activations; ``int8`` only in flavour `engine`.
        free_gpu_memory_fraction: share of the memory left beside the weights.
        max_tokens: upper bound of the pool in tokens; the smaller of both bounds counts.
        tokens_per_block: a power of two; None leaves the vendor's 32.
        enable_block_reuse: keep prefixes for later requests.
        host_cache_bytes: host memory for blocks that left the GPU.
        max_attention_window: tokens that attention looks back, a value a layer, repeated.
        sink_token_length: first tokens that stay visible outside the window.
    """

    dtype: Literal["auto", "fp8", "int8"] = "auto"
    free_gpu_memory_fraction: float = Field(default=0.9, gt=0, le=1)
    max_tokens: PositiveInt | None = None
    tokens_per_block: PositiveInt | None = None
    enable_block_reuse: bool = True
    enable_partial_reuse: bool = True
    host_cache_bytes: int = Field(default=0, ge=0)
    max_attention_window: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1)
    sink_token_length: PositiveInt | None = None


class Scheduler(_Frozen):
    """Which sequences run in the next step.

    Attributes:
        capacity_policy: ``GUARANTEED_NO_EVICT`` admits only what can run to its end,
            ``MAX_UTILIZATION`` admits more and may pause a sequence.
        chunked_context: long prompts enter in chunks of `limits.max_num_tokens`.
        chunking_policy: which prompts advance first; None leaves the vendor's.
    """

    capacity_policy: Literal["GUARANTEED_NO_EVICT", "MAX_UTILIZATION"] = "GUARANTEED_NO_EVICT"
    chunked_context: bool = True
    chunking_policy: Literal["FIRST_COME_FIRST_SERVED", "EQUAL_PROGRESS"] | None = None


class LoraAdapter(_Frozen):
    """One adapter: the name that requests use, and its Hugging Face directory."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    path: str = Field(min_length=1)


class Lora(_Frozen):
    """LoRA adapters that the engine can apply.

    Attributes:
        max_rank: highest rank among the adapters.
        target_modules: the vendor's module names (``attn_q``, ``attn_dense``, ``mlp_h_to_4h``…);
            empty takes those of the first adapter.
        gpu_cache_fraction: share of free GPU memory that holds adapters.
        host_cache_bytes: host memory that holds adapters.
    """

    adapters: tuple[LoraAdapter, ...] = Field(min_length=1)
    max_rank: PositiveInt = 64
    target_modules: tuple[str, ...] = ()
    gpu_cache_fraction: float = Field(default=0.05, gt=0, lt=1)
    host_cache_bytes: int = Field(default=1 << 30, ge=0)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [adapter.name for adapter in self.adapters]
        if len(set(names)) < len(names):
            raise ValueError(f"lora.adapters holds a name twice: {names}; give each its own")
        return self


class NGram(_Frozen):
    """Drafts copied from the text so far; flavour `pytorch`."""

    kind: Literal["ngram"] = "ngram"
    max_draft_len: PositiveInt = 4
    max_matching_ngram_size: PositiveInt = 2


class DraftTarget(_Frozen):
    """Drafts by a smaller model of the same vocabulary.

    Attributes:
        model: Hugging Face directory of the draft model.
    """

    kind: Literal["draft_target"] = "draft_target"
    model: str = Field(min_length=1)
    max_draft_len: PositiveInt = 5


class Eagle3(_Frozen):
    """Drafts by an EAGLE-3 head; flavour `pytorch`.

    Attributes:
        model: Hugging Face directory of the head.
        one_model: run the head inside the target's graph.
    """

    kind: Literal["eagle3"] = "eagle3"
    model: str = Field(min_length=1)
    max_draft_len: PositiveInt = 4
    one_model: bool = True


class Mtp(_Frozen):
    """Drafts by the checkpoint's own layers for later tokens; flavour `pytorch`.

    Attributes:
        layers: tokens predicted ahead.
        relaxed_acceptance: accept likely drafts while the model thinks; sampling is then not
            that of the model alone.
        relaxed_top_k: drafts among so many candidates may pass.
        relaxed_delta: most that a candidate's probability may be below the best.
    """

    kind: Literal["mtp"] = "mtp"
    layers: PositiveInt = 1
    relaxed_acceptance: bool = False
    relaxed_top_k: PositiveInt = 1
    relaxed_delta: float = Field(default=0.0, ge=0, le=1)


class Medusa(_Frozen):
    """Drafts by Medusa heads; flavour `engine`.

    Attributes:
        model: directory of the heads.
        choices: paths through the tree of candidates, for example ``((0,), (0, 0), (1,))``.
    """

    kind: Literal["medusa"] = "medusa"
    model: str = Field(min_length=1)
    heads: PositiveInt = 4
    max_draft_len: PositiveInt = 63
    choices: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = Field(min_length=1)


class Lookahead(_Frozen):
    """Drafts from n-grams found on the way; flavour `engine`."""

    kind: Literal["lookahead"] = "lookahead"
    window_size: PositiveInt = 7
    ngram_size: int = Field(default=7, ge=2)
    verification_set_size: PositiveInt = 7

    @property
    def max_draft_len(self) -> int:
        """Draft tokens of one step (NVIDIA/TensorRT-LLM, examples/lookahead: 83 for 7, 7, 7)."""
        rows = self.window_size - 1 + self.verification_set_size
        return self.ngram_size - 2 + rows * (self.ngram_size - 1)


Speculative = Annotated[
    NGram | DraftTarget | Eagle3 | Mtp | Medusa | Lookahead, Field(discriminator="kind")
]

_SPECULATIVE_KINDS: dict[Flavour, tuple[str, ...]] = {
    "engine": ("draft_target", "medusa", "lookahead"),
    "pytorch": ("ngram", "draft_target", "eagle3", "mtp"),
}


class Calibration(_Frozen):
    """What quantisation is calibrated on.

    Attributes:
        dataset: name or directory, as the vendor's scripts take it; None leaves their own.
        samples: how many texts of it.
    """

    dataset: str | None = None
    samples: PositiveInt = 512


class Serving(_Frozen):
    """Where the ranks of a served engine run.

    Attributes:
        gpu_device_ids: GPUs of each instance; empty takes 0, 1, … of the node.
        participant_ids: MPI ranks of each instance; only an orchestrator that spawns nothing
            needs them.
        examples_dir: the vendor's examples inside the container.
        container: image to build and run in; None is the one of the series.
    """

    gpu_device_ids: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()
    participant_ids: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()
    examples_dir: str = "/app/tensorrt_llm/examples"
    container: str | None = None


class TensorRtLlmSettings(_Frozen):
    """How a TensorRT-LLM engine is built and run.

    Attributes:
        version: series of the vendor's library that will run it.
        backend: what executes it in Triton: our Python runtime, or NVIDIA's C++ backend
            (flavour `engine` only).
        compute_capability: of the target GPU, ``"9.0"`` for Hopper; None leaves it unchecked.
        guided_decoding: library that constrains answers, or None.
        sampler: the vendor's sampler by name; ``auto`` leaves the choice to the library.
        cuda_graphs: record decoding steps as CUDA graphs; flavour `pytorch`.
        attention_data_parallel: spread attention by requests and not by heads; `pytorch`.
        overlap_scheduler: prepare a step while the last one runs; flavour `pytorch`.
    """

    flavour: Flavour = "pytorch"
    version: Series = "1.2"
    backend: Literal["python", "tensorrtllm"] = "python"
    compute_capability: str | None = Field(default=None, pattern=r"^\d+\.\d$")
    parallel: Parallel = Parallel()
    limits: Limits = Limits()
    kv_cache: KvCache = KvCache()
    scheduler: Scheduler = Scheduler()
    lora: Lora | None = None
    speculative: Speculative | None = None
    guided_decoding: Literal["xgrammar", "llguidance"] | None = "xgrammar"
    calibration: Calibration = Calibration()
    serving: Serving = Serving()
    sampler: Literal["auto", "trtllm", "torch"] = "auto"
    cuda_graphs: bool = True
    attention_data_parallel: bool = False
    overlap_scheduler: bool = True

    @model_validator(mode="after")
    def _fits_flavour(self) -> Self:
        if self.version not in SERIES[self.flavour]:
            raise ValueError(
                f"version is {self.version!r}, and flavour 'engine' ended with 1.2: choose one "
                f"of {', '.join(SERIES['engine'])}, or flavour 'pytorch'"
            )
        kinds = _SPECULATIVE_KINDS[self.flavour]
        if self.speculative is not None and self.speculative.kind not in kinds:
            raise ValueError(
                f"speculative.kind is {self.speculative.kind!r}, which flavour {self.flavour!r} "
                f"has not: choose one of {', '.join(kinds)}, or the other flavour"
            )
        if self.flavour == "pytorch":
            self._check_pytorch()
        else:
            self._check_engine()
        return self

    def _check_pytorch(self) -> None:
        if self.backend == "tensorrtllm":
            raise ValueError(
                "backend is 'tensorrtllm', which runs TensorRT plans only: choose flavour "
                "'engine', or backend 'python'"
            )
        if self.kv_cache.dtype == "int8":
            raise ValueError(
                "kv_cache.dtype is 'int8', which flavour 'pytorch' has not: choose 'auto' or "
                "'fp8', or flavour 'engine'"
            )
        if self.kv_cache.tokens_per_block is not None and self.version in {"1.0", "1.1"}:
            raise ValueError(
                f"kv_cache.tokens_per_block cannot be chosen in version {self.version!r} of "
                "flavour 'pytorch': leave it out, or choose version '1.2'"
            )

    def _check_engine(self) -> None:
        if self.guided_decoding == "llguidance":
            raise ValueError(
                "guided_decoding is 'llguidance', which flavour 'engine' has not: choose 'xgrammar'"
            )
        if self.sampler != "auto" or not self.cuda_graphs or not self.overlap_scheduler:
            raise ValueError(
                "sampler, cuda_graphs and overlap_scheduler belong to flavour 'pytorch': leave "
                "them out"
            )
        if self.attention_data_parallel:
            raise ValueError("attention_data_parallel belongs to flavour 'pytorch': leave it out")
        drafted = self.speculative is not None and self.speculative.kind == "draft_target"
        if drafted and self.backend == "python":
            raise ValueError(
                "speculative.kind is 'draft_target', whose drafts a client of the C++ backend "
                "sends in flavour 'engine': set backend 'tensorrtllm', or flavour 'pytorch'"
            )
        if self.parallel.nodes > 1 and self.backend == "python":
            raise ValueError(
                f"parallel needs {self.parallel.nodes} nodes, and a TensorRT plan spans nodes "
                "with the C++ backend only: set backend 'tensorrtllm', or flavour 'pytorch'"
            )


def settings_in(manifest: EngineManifest) -> TensorRtLlmSettings | None:
    """The section `tensorrt_llm` of a manifest; None if there is none.

    Raises:
        BundleError: naming the field that this version does not understand.
    """
    if manifest.tensorrt_llm is None:
        return None
    try:
        return TensorRtLlmSettings.model_validate(manifest.tensorrt_llm)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in ("tensorrt_llm", *first["loc"]))
        raise BundleError(
            f"{MANIFEST_NAME} of {manifest.model_name}: field {where!r}: {first['msg']}"
        ) from None
