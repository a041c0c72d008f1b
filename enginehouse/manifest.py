"""`engine.json`: the manifest of an engine bundle."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from enginehouse.errors import BundleError
from enginehouse.host import HostFingerprint

MANIFEST_NAME = "engine.json"
SCHEMA_VERSION: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleFile(_Frozen):
    """One file of the bundle: relative path, size and digest."""

    path: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Checkpoint(_Frozen):
    """Source of the weights, with as much lineage as the checkpoint states."""

    kind: Literal["gguf", "huggingface"]
    name: str
    sha256: str
    license: str | None = None
    base_model: str | None = None
    datasets: tuple[str, ...] = ()


class Architecture(_Frozen):
    """Shape of the network, as needed for serving and size estimates."""

    family: str
    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_size: int
    vocabulary_size: int
    intermediate_size: int | None = None
    tied_embeddings: bool = False
    experts: int | None = None


class SpecialTokens(_Frozen):
    """Token ids that control generation.

    Attributes:
        end_ids: tokens that end an answer; the first is the contract's default `end_id`.
    """

    bos_id: int | None
    end_ids: tuple[int, ...] = Field(min_length=1)
    pad_id: int
    add_bos: bool


class GenerationDefaults(_Frozen):
    """Sampling if a chat request sets none (the OpenAI API's defaults)."""

    temperature: float = 1.0
    top_p: float = 1.0


class EngineSettings(_Frozen):
    """Settings of the runtime, chosen by measurement; see docs/engine-settings.md.

    Attributes:
        precision_hint: arithmetic of the CPU plugin (``bf16``, ``f16``, ``f32``) or ``auto``.
        kv_cache_precision: ``auto`` or a type of the runtime (``u8``, ``bf16``, ``f16``).
        kv_cache_gib: size of the paged KV cache pool; the runtime uses whole GiB.
        max_batch: maximum number of sequences in flight.
        max_queue: maximum number of waiting requests; further ones are rejected.
        max_batched_tokens: tokens of prompts and answers in one scheduling step.
        threads: threads of each instance; 0 lets the runtime choose, or divides the CPUs.
        coalescing: combine several tokens into one response under load, see
            `enginehouse.engine.coalescing`.
        step_timeout_s: a longer step counts as a hang; the engine is then replaced.
        speculative: ``prompt_lookup`` drafts the tokens that followed the same words earlier in
            the prompt or the answer; the answer does not change.
        draft_tokens: maximum number of tokens drafted for one step.
        instances: engines of this version on this host; they share the CPUs.
        deterministic: the same request gives the same answer, bit for bit. Runs one sequence at a
            time, and does not use prefixes cached by earlier requests.
    """

    precision_hint: Literal["auto", "bf16", "f16", "f32"] = "auto"
    kv_cache_precision: Literal["auto", "u8", "bf16", "f16"] = "auto"
    kv_cache_gib: int = Field(default=1, ge=1)
    max_batch: int = Field(default=64, ge=1, le=1024)
    max_queue: int = Field(default=128, ge=0)
    max_batched_tokens: int = Field(default=256, ge=16)
    threads: int = Field(default=0, ge=0)
    prefix_caching: bool = True
    coalescing: bool = True
    step_timeout_s: float = Field(default=60.0, gt=0)
    speculative: Literal["none", "prompt_lookup"] = "none"
    draft_tokens: int = Field(default=4, ge=1, le=32)
    instances: int = Field(default=1, ge=1, le=64)
    deterministic: bool = False

    @property
    def batch(self) -> int:
        """Maximum number of sequences in one step."""
        return 1 if self.deterministic else self.max_batch

    @property
    def keeps_prefixes(self) -> bool:
        """Whether cached prefixes of earlier prompts are reused."""
        return self.prefix_caching and not self.deterministic


class Adapter(_Frozen):
    """A LoRA adapter in the bundle.

    Attributes:
        name: clients request it as ``model:name``.
        file: weights, relative to the engine's directory.
        rank: rank of its matrices.
        scale: factor of its product, ``alpha / rank``.
    """

    name: str
    file: str
    rank: int = Field(gt=0)
    scale: float


class EmbeddingFacts(_Frozen):
    """How an embedding engine turns hidden states into a vector.

    Attributes:
        dimensions: length of a vector.
        pooling: ``mean`` over all tokens including special ones, or the first token (``cls``).
        normalise: whether vectors are scaled to length 1.
        max_tokens: maximum length of a text, including special tokens.
    """

    dimensions: int = Field(gt=0)
    pooling: Literal["mean", "cls"]
    normalise: bool
    max_tokens: int = Field(gt=0)


class Quality(_Frozen):
    """Summary of the quality report; `reports/parity.json` has all of it.

    Attributes:
        status: ``passed``, ``accepted`` (despite exceeding its thresholds) or ``not_measured``.
        accepted_reason: reason given by the user who accepted it.
        max_abs_difference, min_cosine: of embeddings compared with the reference.
    """

    status: Literal["passed", "accepted", "not_measured"]
    accepted_reason: str | None = None
    perplexity_ratio: float | None = None
    mean_kl_nats: float | None = None
    equal_tokens_share: float | None = None
    tasks_solved: int | None = None
    tasks_total: int | None = None
    max_abs_difference: float | None = None
    min_cosine: float | None = None


class EngineManifest(_Frozen):
    """The manifest of an engine bundle; `schema_version` is its format version.

    Attributes:
        tensorrt_llm: settings of the runtime of that name, in its own terms; the runtime
            validates it, see `enginehouse.engine.tensorrt_llm_settings`.
        embedding: facts of an embedding model; None for a text generator.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model_name: str
    runtime: str
    runtime_version: str
    built_at: datetime
    built_on: HostFingerprint
    architecture: Architecture
    format: str = "fp16"
    weight_format: str
    quality: Quality | None = None
    context_length: int = Field(gt=0)
    max_batch: int = Field(gt=0)
    special_tokens: SpecialTokens
    generation_defaults: GenerationDefaults
    engine_settings: EngineSettings
    tensorrt_llm: dict[str, JsonValue] | None = None
    embedding: EmbeddingFacts | None = None
    checkpoint: Checkpoint
    adapters: tuple[Adapter, ...] = ()
    build_arguments: dict[str, str]
    tool_versions: dict[str, str]
    tokenizer_check: dict[str, int]
    files: tuple[BundleFile, ...]

    @property
    def kind(self) -> Literal["generator", "embedding"]:
        """Kind of the model."""
        return "generator" if self.embedding is None else "embedding"

    @property
    def size_bytes(self) -> int:
        """Sum of all file sizes."""
        return sum(file.size_bytes for file in self.files)


def read_manifest(directory: Path) -> EngineManifest:
    """Read a bundle's manifest.

    Raises:
        BundleError: if it is missing, or its schema is not supported.
    """
    path = directory / MANIFEST_NAME
    try:
        return EngineManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(
            f"{directory} is not an engine bundle: it has no {MANIFEST_NAME}; "
            "make one with `enginehouse build CHECKPOINT --name NAME`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"])
        raise BundleError(f"{path}: field {where!r}: {first['msg']}") from None
