"""Compares a bundle's manifest with the host before a load, and lists every difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from enginehouse.engine.tensorrt_llm_section import settings_in
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.errors import FingerprintError
from enginehouse.host import (
    Gpu,
    HostFingerprint,
    available_memory,
    gpus,
    host_fingerprint,
    package_version,
)
from enginehouse.manifest import EngineManifest, EngineSettings
from enginehouse.sizes import GIB, kv_bytes_per_token

#: Memory of a process beside weights and cache: library, kernels, Python (0.25 to 0.4 GiB).
_BASE_BYTES = GIB // 4
_LOGIT_BYTES = 4
_BF16_FEATURES = ("avx512_bf16", "amx_bf16", "sve")


@dataclass(frozen=True, slots=True)
class Installed:
    """The properties of a host on which an engine can depend.

    Attributes:
        host: CPU, system and Python.
        versions: version by package; ``absent`` if it is not installed.
        available_bytes: memory that a new process can allocate now.
        gpus: visible GPUs.
    """

    host: HostFingerprint
    versions: dict[str, str]
    available_bytes: int
    gpus: tuple[Gpu, ...]


def read_host(runtime: str) -> Installed:
    """Read this host's properties. GPUs are queried only for a runtime that needs one."""
    on_gpu = runtime == "tensorrt_llm"
    packages = ("tensorrt_llm", "tensorrt") if on_gpu else ("openvino-genai",)
    return Installed(
        host=host_fingerprint(),
        versions={name: package_version(name) for name in packages},
        available_bytes=available_memory(),
        gpus=gpus() if on_gpu else (),
    )


def check_fingerprint(manifest: EngineManifest, settings: EngineSettings) -> None:
    """Check that a bundle can run on this host.

    Raises:
        FingerprintError: lists every difference and what to rebuild.
    """
    found = differences(manifest, settings, read_host(manifest.runtime))
    if found:
        lines = "".join(f"\n  - {line}" for line in found)
        raise FingerprintError(f"{manifest.model_name} does not fit this host:{lines}")


def differences(
    manifest: EngineManifest, settings: EngineSettings, installed: Installed
) -> list[str]:
    """The differences, one sentence each; an empty list means that the engine can be loaded."""
    if manifest.runtime == "openvino":
        return list(_openvino(manifest, settings, installed))
    if settings.deterministic:
        return [f"deterministic is a setting of the runtime openvino, not of {manifest.runtime}"]
    vendor = settings_in(manifest)
    if vendor is not None:
        return list(_tensorrt_llm(manifest, vendor, installed))
    return []


def _openvino(
    manifest: EngineManifest, settings: EngineSettings, installed: Installed
) -> Iterator[str]:
    here = installed.versions["openvino-genai"]
    if _series(here) != _series(manifest.runtime_version):
        yield (
            f"built with openvino-genai {manifest.runtime_version}, this host has {here}: build "
            "it again here, or install the version it was built with"
        )
    features = installed.host.cpu_features
    if settings.precision_hint == "bf16" and not set(features).intersection(_BF16_FEATURES):
        yield (
            "precision_hint is bf16, which this CPU "
            f"({installed.host.cpu_model}) has no instructions for: set it to auto or f32"
        )
    if settings.threads * settings.instances > installed.host.cpu_count:
        yield (
            f"{settings.instances} instances of {settings.threads} threads are asked for, there "
            f"are {installed.host.cpu_count} CPUs: lower ENGINEHOUSE_ENGINE_THREADS or _INSTANCES"
        )
    tokens = pool_tokens(manifest, settings)
    if tokens < manifest.context_length:
        yield (
            f"a KV cache of {settings.kv_cache_gib} GiB holds {tokens} tokens, one sequence may "
            f"have {manifest.context_length}: raise ENGINEHOUSE_ENGINE_KV_CACHE_GIB, or build "
            "with --kv-cache-precision u8"
        )
    needed = memory_needed(manifest, settings)
    if needed > installed.available_bytes:
        yield (
            f"memory: about {needed / GIB:.1f} GiB are needed (weights and their packed copy, "
            f"KV cache of {settings.kv_cache_gib} GiB, logits), "
            f"{installed.available_bytes / GIB:.1f} GiB are free: build a "
            "smaller --format, or lower ENGINEHOUSE_ENGINE_KV_CACHE_GIB"
        )


def pool_tokens(manifest: EngineManifest, settings: EngineSettings) -> int:
    """Capacity of the KV cache pool in tokens, over all sequences."""
    per_token = kv_bytes_per_token(manifest.architecture, settings.kv_cache_precision)
    return settings.kv_cache_gib * GIB // per_token


def memory_needed(manifest: EngineManifest, settings: EngineSettings) -> int:
    """Estimated bytes of one engine process whose whole KV cache has been used.

    Measured for the default model: 2.0 GiB estimated, 2.2 GiB resident.
    """
    weights = sum(f.size_bytes for f in manifest.files if f.path.endswith("openvino_model.bin"))
    pipelines = 1 + len(manifest.adapters)
    logits = settings.max_batched_tokens * manifest.architecture.vocabulary_size * _LOGIT_BYTES
    each = 2 * weights + settings.kv_cache_gib * GIB + logits
    return pipelines * each + _BASE_BYTES


def _tensorrt_llm(
    manifest: EngineManifest, settings: TensorRtLlmSettings, installed: Installed
) -> Iterator[str]:
    here = installed.versions["tensorrt_llm"]
    # A TensorRT plan needs the exact release that wrote it; a checkpoint needs the same series.
    exact = settings.flavour == "engine"
    same = (
        here == manifest.runtime_version
        if exact
        else _series(here) == _series(manifest.runtime_version)
    )
    if not same:
        yield (
            f"built with tensorrt_llm {manifest.runtime_version}, this host has {here}: build it "
            "again here, or use the container of that version"
        )
    built_with = manifest.tool_versions.get("tensorrt")
    if exact and built_with and built_with != installed.versions["tensorrt"]:
        yield (
            f"the plan was built with TensorRT {built_with}, this host has "
            f"{installed.versions['tensorrt']}: build it again here"
        )
    ranks = min(settings.parallel.world_size, settings.parallel.gpus_per_node)
    if len(installed.gpus) < ranks:
        yield (
            f"world size: {ranks} GPUs are needed on this host (tensor parallel "
            f"{settings.parallel.tensor}, pipeline parallel {settings.parallel.pipeline}), "
            f"{len(installed.gpus)} are visible: build for fewer ranks"
        )
    yield from _gpu_differences(manifest, settings, installed.gpus)


def _gpu_differences(
    manifest: EngineManifest, settings: TensorRtLlmSettings, visible: tuple[Gpu, ...]
) -> Iterator[str]:
    built_on = {gpu.compute_capability for gpu in manifest.built_on.gpus}
    here = {gpu.compute_capability for gpu in visible}
    if settings.flavour == "engine" and built_on and here and here != built_on:
        yield (
            f"compute capability: the plan was built for {', '.join(sorted(built_on))}, the GPUs "
            f"here have {', '.join(sorted(here))}: build it again on such a GPU"
        )
    if not visible:
        return
    weights = sum(f.size_bytes for f in manifest.files if f.path.startswith("engine/"))
    share = weights / settings.parallel.world_size
    smallest = min(gpu.memory_bytes for gpu in visible)
    window = settings.limits.max_seq_len or manifest.context_length
    one = kv_bytes_per_token(manifest.architecture) * window / settings.parallel.world_size
    if share + one > smallest:
        yield (
            f"memory: {share / GIB:.1f} GiB of weights and {one / GIB:.1f} GiB of KV cache for "
            f"one sequence of {window} tokens are needed on each GPU, the smallest has "
            f"{smallest / GIB:.1f} GiB: use a smaller format or more tensor parallel ranks"
        )


def _series(version: str) -> list[str]:
    return version.split(".")[:2]
