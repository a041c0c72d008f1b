"""Typed settings of the runtime `tensorrt_llm` for every supported version of TensorRT-LLM.

There are two flavours: ``engine`` is a TensorRT plan written by `trtllm-build`, and ``pytorch`` is
a checkpoint that the LLM API runs directly. Settings that a version does not support are refused
here, so that a build fails before it starts. NVIDIA's package is not imported.

Tests check names and versions against the recorded interface in `tests/contract/tensorrt_llm/`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    model_validator,
)

Flavour = Literal["engine", "pytorch"]
#: Series of TensorRT-LLM releases; ``newest`` is the series after 1.2.
Series = Literal["1.0", "1.1", "1.2", "newest"]

#: TensorRT-LLM removed TensorRT plans after 1.2, together with Triton's C++ backend.
SERIES: dict[Flavour, tuple[Series, ...]] = {
    "engine": ("1.0", "1.1", "1.2"),
    "pytorch": ("1.0", "1.1", "1.2", "newest"),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parallel(_Frozen):
    """The distribution of the network over GPUs.

    Attributes:
        tensor: number of GPUs that share each layer.
        pipeline: number of stages with layers of their own.
        expert: number of groups over which the experts of a mixture are distributed; divides
            `tensor`.
        gpus_per_node: GPUs of one machine; further ranks run on the next machine.
    """

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1
    expert: PositiveInt = 1
    gpus_per_node: PositiveInt = 8

    @property
    def world_size(self) -> int:
        """Number of ranks, with one GPU each."""
        return self.tensor * self.pipeline

    @property
    def nodes(self) -> int:
        """Number of machines."""
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
    """Limits of the engine, in sequences and tokens.

    Attributes:
        max_batch_size: most sequences in flight.
        max_input_len: most tokens of a prompt.
        max_seq_len: most tokens of prompt and answer together; None uses the model's limit.
        max_num_tokens: most tokens of one scheduling step, including chunks of prompts.
        max_beam_width: most beams of a sequence.
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
        dtype: ``auto`` uses the type of the activations; ``int8`` needs flavour `engine`.
        free_gpu_memory_fraction: share of the memory beside the weights.
        max_tokens: largest pool in tokens; the smaller of both limits applies.
        tokens_per_block: a power of two; None uses TensorRT-LLM's default of 32.
        enable_block_reuse: keep prefixes for later requests.
        host_cache_bytes: host memory for blocks that are evicted from the GPU.
        max_attention_window: number of previous tokens that attention uses, one value for each
            layer, repeated if there are fewer values.
        sink_token_length: number of first tokens that attention always uses.
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
    """The selection of sequences for each step.

    Attributes:
        capacity_policy: ``GUARANTEED_NO_EVICT`` admits only sequences that can run to their end;
            ``MAX_UTILIZATION`` admits more and may pause a sequence.
        chunked_context: process long prompts in chunks of `limits.max_num_tokens`.
        chunking_policy: order of prompts; None uses TensorRT-LLM's default.
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
        max_rank: highest rank of the adapters.
        target_modules: TensorRT-LLM's module names (``attn_q``, ``attn_dense``, ``mlp_h_to_4h``…);
            empty uses those of the first adapter.
        gpu_cache_fraction: share of free GPU memory for adapters.
        host_cache_bytes: host memory for adapters.
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
    """Drafts copied from the previous text; flavour `pytorch`."""

    kind: Literal["ngram"] = "ngram"
    max_draft_len: PositiveInt = 4
    max_matching_ngram_size: PositiveInt = 2


class DraftTarget(_Frozen):
    """Drafts by a smaller model with the same vocabulary.

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
    """Drafts by the checkpoint's layers for multi-token prediction; flavour `pytorch`.

    Attributes:
        layers: number of draft tokens.
        relaxed_acceptance: accept likely drafts while the model reasons. The distribution of the
            text is then not exactly that of the model.
        relaxed_top_k: number of best candidates among which a draft is accepted.
        relaxed_delta: largest difference between a candidate's probability and the best.
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
    """Drafts by lookahead decoding, from n-grams generated in parallel; flavour `engine`."""

    kind: Literal["lookahead"] = "lookahead"
    window_size: PositiveInt = 7
    ngram_size: int = Field(default=7, ge=2)
    verification_set_size: PositiveInt = 7

    @property
    def max_draft_len(self) -> int:
        """Draft tokens of a step (NVIDIA/TensorRT-LLM, examples/lookahead: 83 for 7, 7, 7)."""
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
    """The calibration data of quantisation.

    Attributes:
        dataset: name or directory for NVIDIA's scripts; None uses their default.
        samples: number of texts.
    """

    dataset: str | None = None
    samples: PositiveInt = 512


class Serving(_Frozen):
    """The location of the ranks of a served engine.

    Attributes:
        gpu_device_ids: GPUs of each instance; empty uses 0, 1, … of the node.
        participant_ids: MPI ranks of each instance, for an orchestrator that does not spawn them.
        examples_dir: directory of NVIDIA's examples inside the container.
        container: image for building and running; None uses that of the series.
    """

    gpu_device_ids: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()
    participant_ids: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...] = ()
    examples_dir: str = "/app/tensorrt_llm/examples"
    container: str | None = None


class TensorRtLlmSettings(_Frozen):
    """The settings for building and running a TensorRT-LLM engine.

    Attributes:
        version: series of TensorRT-LLM that will run it.
        backend: ``python`` is Enginehouse's runtime, ``tensorrtllm`` is NVIDIA's C++ backend
            (flavour `engine` only).
        compute_capability: of the target GPU, ``"9.0"`` for Hopper; None disables the check.
        guided_decoding: library for guided decoding; None disables it.
        sampler: name of TensorRT-LLM's sampler; ``auto`` leaves the choice to it.
        cuda_graphs: record decoding steps as CUDA graphs; flavour `pytorch`.
        attention_data_parallel: distribute attention by requests instead of heads; `pytorch`.
        overlap_scheduler: prepare a step while the previous one runs; flavour `pytorch`.
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
                f"does not support: choose one of {', '.join(kinds)}, or the other flavour"
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
                "kv_cache.dtype is 'int8', which flavour 'pytorch' does not support: choose 'auto' "
                "or 'fp8', or flavour 'engine'"
            )
        if self.kv_cache.tokens_per_block is not None and self.version in {"1.0", "1.1"}:
            raise ValueError(
                f"kv_cache.tokens_per_block cannot be chosen in version {self.version!r} of "
                "flavour 'pytorch': leave it out, or choose version '1.2'"
            )

    def _check_engine(self) -> None:
        if self.guided_decoding == "llguidance":
            raise ValueError(
                "guided_decoding is 'llguidance', which flavour 'engine' does not support: choose "
                "'xgrammar'"
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
