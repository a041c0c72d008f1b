"""Command lines of NVIDIA's tools that build a TensorRT plan from a checkpoint.

`convert_checkpoint.py` (one for each model family) or `quantize.py` writes a checkpoint for each
rank, then `trtllm-build` writes an engine for each. Tests check every flag against the recorded
interface in `tests/contract/tensorrt_llm/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from enginehouse.build.formats import WeightFormat
from enginehouse.build.tensorrt_llm_formats import (
    CONVERTERS,
    FORMATS,
    GpuFormat,
    check_format,
)
from enginehouse.engine.tensorrt_llm_settings import (
    DraftTarget,
    Lookahead,
    Lora,
    Medusa,
    TensorRtLlmSettings,
)

from enginehouse.errors import BuildError

_QUANTIZE = "quantization/quantize.py"
#: File of the nodes for `mpirun`, one a line: ``NAME slots=GPUS``.
HOSTS_FILE = "hosts.txt"


@dataclass(frozen=True, slots=True)
class VendorCommand:
    """One command of NVIDIA's tools.

    Attributes:
        purpose: what it does, as a verb phrase.
        argv: program and arguments.
        writes: files that it writes, relative to its output directory.
    """

    purpose: str
    argv: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A checkpoint to convert: its directory and its `model_type`."""

    directory: PurePath
    family: str


@dataclass(frozen=True, slots=True)
class BuildPaths:
    """The directories of a build.

    Attributes:
        scratch: directory of converted checkpoints.
        engine: the bundle's engine directory.
    """

    scratch: PurePath
    engine: PurePath

    @property
    def draft_engine(self) -> PurePath:
        """Directory of the draft model's engine files."""
        return self.engine / "draft"


def engine_commands(
    settings: TensorRtLlmSettings,
    weight_format: WeightFormat,
    target: Network,
    draft: Network | None,
    places: BuildPaths,
) -> list[VendorCommand]:
    """The commands of a build with flavour `engine`, in order.

    Raises:
        BuildError: if NVIDIA's tools do not support the build.
    """
    check_format(settings, weight_format, target.family)
    converted = places.scratch / "converted"
    commands = [
        _convert(settings, weight_format, target, converted),
        _build(settings, weight_format, converted, places.engine, speculative=True),
    ]
    if draft is not None:
        check_format(settings, weight_format, draft.family)
        converted = places.scratch / "converted-draft"
        commands += [
            _convert(settings, weight_format, draft, converted),
            _build(settings, weight_format, converted, places.draft_engine, speculative=False),
        ]
    return commands


def rank_files(settings: TensorRtLlmSettings) -> tuple[str, ...]:
    """Names of the files of a plan."""
    ranks = range(settings.parallel.world_size)
    return ("config.json", *(f"rank{rank}.engine" for rank in ranks))


def _convert(
    settings: TensorRtLlmSettings, weight_format: WeightFormat, network: Network, output: PurePath
) -> VendorCommand:
    gpu = FORMATS[weight_format]
    if gpu.qformat is None:
        argv = _convert_argv(settings, gpu, network)
        purpose = f"convert {network.directory.name}"
    else:
        argv = _quantize_argv(settings, gpu, network)
        purpose = f"quantise {network.directory.name} to {weight_format}"
    ranks = range(settings.parallel.world_size)
    files = ("config.json", *(f"rank{rank}.safetensors" for rank in ranks))
    return VendorCommand(purpose, (*argv, "--output_dir", str(output)), files)


def _convert_argv(settings: TensorRtLlmSettings, gpu: GpuFormat, network: Network) -> list[str]:
    parallel, family = settings.parallel, CONVERTERS[network.family]
    script = f"{settings.serving.examples_dir}/models/core/{family}/convert_checkpoint.py"
    argv = ["python3", script, "--model_dir", str(network.directory), "--dtype", gpu.dtype]
    argv += _numbers({"--tp_size": parallel.tensor, "--pp_size": parallel.pipeline})
    if parallel.expert > 1:
        moe_tensor = parallel.tensor // parallel.expert
        argv += _numbers({"--moe_tp_size": moe_tensor, "--moe_ep_size": parallel.expert})
    argv += gpu.convert_flags
    if settings.kv_cache.dtype != "auto":
        if settings.kv_cache.dtype == "fp8" and family == "qwen":
            raise BuildError(
                "kv_cache.dtype is 'fp8', which NVIDIA's converter for this model family does not "
                "support: choose 'int8' or 'auto', or --format fp8"
            )
        argv.append(f"--{settings.kv_cache.dtype}_kv_cache")
    if gpu.calibrated or settings.kv_cache.dtype == "int8":
        argv += _calibration(settings, sizes=family == "llama")
    return [*argv, *_numbers({"--workers": _workers(settings)})]


def _quantize_argv(settings: TensorRtLlmSettings, gpu: GpuFormat, network: Network) -> list[str]:
    parallel = settings.parallel
    script = f"{settings.serving.examples_dir}/{_QUANTIZE}"
    argv = ["python3", script, "--model_dir", str(network.directory), "--dtype", gpu.dtype]
    argv += ["--qformat", str(gpu.qformat)]
    argv += _numbers({"--tp_size": parallel.tensor, "--pp_size": parallel.pipeline})
    if gpu.block_size:
        argv += _numbers({"--awq_block_size": gpu.block_size})
    kv = gpu.kv_dtype if settings.kv_cache.dtype == "auto" else settings.kv_cache.dtype
    if kv is not None:
        argv += ["--kv_cache_dtype", kv]
    argv += _calibration(settings, sizes=True)
    medusa = settings.speculative
    if isinstance(medusa, Medusa):
        argv += ["--medusa_model_dir", medusa.model]
        argv += _numbers(
            {"--num_medusa_heads": medusa.heads, "--max_draft_len": medusa.max_draft_len}
        )
    return argv


def _calibration(settings: TensorRtLlmSettings, *, sizes: bool) -> list[str]:
    calibration = settings.calibration
    argv = [] if calibration.dataset is None else ["--calib_dataset", calibration.dataset]
    return [*argv, *_numbers({"--calib_size": calibration.samples})] if sizes else argv


def _build(
    settings: TensorRtLlmSettings,
    weight_format: WeightFormat,
    converted: PurePath,
    output: PurePath,
    *,
    speculative: bool,
) -> VendorCommand:
    argv = ["trtllm-build", "--checkpoint_dir", str(converted), "--output_dir", str(output)]
    argv += _sizes(settings)
    # In-flight batching needs these flags; chunked context and block reuse need paged context FMHA.
    argv += ["--kv_cache_type", "paged", "--remove_input_padding", "enable"]
    argv += ["--gpt_attention_plugin", "auto", "--use_paged_context_fmha", "enable"]
    if FORMATS[weight_format].gemm_plugin:
        argv += ["--gemm_plugin", "auto"]
    if settings.kv_cache.tokens_per_block is not None:
        argv += _numbers({"--tokens_per_block": settings.kv_cache.tokens_per_block})
    argv += _numbers({"--workers": _workers(settings)})
    files = rank_files(settings)
    if speculative:
        argv += _speculative(settings)
        if settings.lora is not None:
            argv += _lora(settings.lora)
            files += tuple(f"lora/{i}/" for i in range(len(settings.lora.adapters)))
    return VendorCommand(f"build the engine in {output}", tuple(argv), files)


def _sizes(settings: TensorRtLlmSettings) -> list[str]:
    limits = settings.limits
    sizes = {
        "--max_batch_size": limits.max_batch_size,
        "--max_input_len": limits.max_input_len,
        "--max_num_tokens": limits.max_num_tokens,
        "--max_beam_width": limits.max_beam_width,
    }
    if limits.max_seq_len is not None:
        sizes["--max_seq_len"] = limits.max_seq_len
    return _numbers(sizes)


def _speculative(settings: TensorRtLlmSettings) -> list[str]:
    match settings.speculative:
        case DraftTarget() as draft:
            length = _numbers({"--max_draft_len": draft.max_draft_len})
            return ["--speculative_decoding_mode", "draft_tokens_external", *length]
        case Lookahead() as lookahead:
            length = _numbers({"--max_draft_len": lookahead.max_draft_len})
            return ["--speculative_decoding_mode", "lookahead_decoding", *length]
        case Medusa():  # the converted checkpoint contains the length of drafts
            return ["--speculative_decoding_mode", "medusa"]
        case _:
            return []


def _lora(lora: Lora) -> list[str]:
    argv = ["--lora_plugin", "auto", "--lora_dir", *(adapter.path for adapter in lora.adapters)]
    argv += _numbers({"--max_lora_rank": lora.max_rank})
    if lora.target_modules:
        argv += ["--lora_target_modules", *lora.target_modules]
    return argv


def _workers(settings: TensorRtLlmSettings) -> int:
    """Number of ranks to build in parallel: one for each GPU of this node."""
    return min(settings.parallel.world_size, settings.parallel.gpus_per_node)


def _numbers(flags: dict[str, int]) -> list[str]:
    return [item for flag, value in flags.items() for item in (flag, str(value))]


def launch_command(
    settings: TensorRtLlmSettings, repository: str, engine_model: str, ports: Sequence[int]
) -> tuple[str, ...]:
    """The command that starts Triton, with one process for each rank if the engine needs it.

    The C++ backend needs a Triton process for each rank. All but the first load only the engine
    (NVIDIA/TensorRT-LLM, `triton_backend/scripts/launch_triton_server.py`). The LLM API starts its
    own ranks on one node, and uses those of `trtllm-llmapi-launch` on several nodes.

    Args:
        settings: settings of the runtime.
        repository: the model repository.
        engine_model: Triton name of the engine model.
        ports: ports of gRPC, HTTP and metrics.
    """
    grpc, http, metrics = ports
    server = [
        "/opt/tritonserver/bin/tritonserver",
        f"--model-repository={repository}",
        f"--grpc-port={grpc}",
        f"--http-port={http}",
        f"--metrics-port={metrics}",
        "--disable-auto-complete-config",
    ]
    world, parallel = settings.parallel.world_size, settings.parallel
    if settings.backend == "tensorrtllm" and world > 1:
        hosts = ["--hostfile", HOSTS_FILE] if parallel.nodes > 1 else []
        return tuple(_mpi_ranks(server, world, engine_model, hosts))
    return (*as_ranks(settings), *server)


def as_ranks(settings: TensorRtLlmSettings) -> list[str]:
    """The command prefix of an LLM API program on several nodes; empty on one node."""
    parallel = settings.parallel
    if parallel.nodes == 1:
        return []
    ranks = ["mpirun", "--allow-run-as-root", "-n", str(parallel.world_size)]
    per_node = ["--map-by", f"ppr:{parallel.gpus_per_node}:node", "--hostfile", HOSTS_FILE]
    return [*ranks, *per_node, "trtllm-llmapi-launch"]


def _mpi_ranks(server: list[str], world: int, engine_model: str, hosts: list[str]) -> list[str]:
    """The `mpirun` command; a hostfile applies to one program only, so each program names it."""
    argv = ["mpirun", "--allow-run-as-root"]
    for rank in range(world):
        worker = ["--model-control-mode=explicit", f"--load-model={engine_model}"]
        region = f"--backend-config=python,shm-region-prefix-name=prefix{rank}_"
        argv += ["-n", "1", *hosts, *server, *(worker if rank else []), region, ":"]
    return argv[:-1]
