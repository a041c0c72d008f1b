"""Estimates the sizes of an engine before it is built, for `enginehouse build --estimate`."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.build.gguf_checkpoint import GgufCheckpoint
from enginehouse.build.hf_checkpoint import HfCheckpoint
from enginehouse.build.plan import BuildPlan

from enginehouse.host import gpus
from enginehouse.sizes import GIB, SizeEstimate, estimate

#: Memory of the GPU that is assumed if the host has none.
_USUAL_GPU_GIB = 80


@dataclass(frozen=True, slots=True)
class BuildEstimate:
    """Estimated sizes of an engine.

    Attributes:
        ranks: number of GPUs.
        pool: the assumed size of the KV cache pool, in words.
    """

    sizes: SizeEstimate
    context_length: int
    ranks: int
    pool: str


def estimate_build(plan: BuildPlan) -> BuildEstimate:
    """Estimate from the checkpoint's metadata, without reading weights.

    Raises:
        CheckpointError: if the checkpoint cannot be read.
    """
    source: GgufCheckpoint | HfCheckpoint
    if plan.checkpoint.is_dir():
        source = HfCheckpoint(plan.checkpoint, config_only=True)
    else:
        source = GgufCheckpoint(plan.checkpoint)
    context = source.context_length
    gpu = plan.tensorrt_llm
    if gpu is None:
        gib = plan.settings.kv_cache_gib
        precision = plan.settings.kv_cache_precision
        sizes = estimate(source.architecture, plan.weight_format, precision, gib * GIB, context)
        return BuildEstimate(sizes, context, 1, f"{gib} GiB, {precision}")
    ranks = gpu.parallel.world_size
    here = gpus()
    memory = min((g.memory_bytes for g in here), default=_USUAL_GPU_GIB * GIB)
    weights = estimate(source.architecture, plan.weight_format, "auto", 0, context).weight_bytes
    fraction = gpu.kv_cache.free_gpu_memory_fraction
    pool = max(0, int(fraction * (memory * ranks - weights)))
    sizes = estimate(source.architecture, plan.weight_format, gpu.kv_cache.dtype, pool, context)
    whose = "the GPUs here" if here else f"a GPU of {_USUAL_GPU_GIB} GiB (none is here)"
    words = f"{fraction:g} of what the weights leave on {ranks} of {whose}: {pool / GIB:.0f} GiB"
    return BuildEstimate(sizes, context, ranks, words)
