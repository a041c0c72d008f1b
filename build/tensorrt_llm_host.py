"""Checks that NVIDIA's tools can run on this host."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.engine.tensorrt_llm_releases import RELEASES, container, what_to_install
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.errors import BuildError
from enginehouse.host import Gpu, gpus, package_version


@dataclass(frozen=True, slots=True)
class GpuHost:
    """A host that can build.

    Attributes:
        versions: versions of the packages that a plan depends on, by package.
        gpu: the first GPU.
    """

    versions: dict[str, str]
    gpu: Gpu


def check_host(settings: TensorRtLlmSettings) -> GpuHost:
    """Check that the package, its version and the GPUs are present.

    Raises:
        BuildError: its first line says what is missing and where to get it.
    """
    versions = {name: package_version(name) for name in ("tensorrt_llm", "tensorrt")}
    installed = versions["tensorrt_llm"]
    if installed == "absent":
        raise BuildError(
            f"TensorRT-LLM {settings.version} is missing on this host: "
            f"{what_to_install(settings)}; --dry-run prints every command without it"
        )
    wanted = RELEASES[settings.version].series
    if not installed.startswith(f"{wanted}.") and settings.version != "newest":
        raise BuildError(
            f"tensorrt_llm {installed} is installed, --target-version is {settings.version}: "
            f"{what_to_install(settings)}, or change --target-version"
        )
    present = {name: version for name, version in versions.items() if version != "absent"}
    return GpuHost(present, _first_gpu(settings))


def _first_gpu(settings: TensorRtLlmSettings) -> Gpu:
    visible = gpus()
    if not visible:
        raise BuildError(
            "no NVIDIA GPU is usable on this host (nvidia-smi shows none): work on a GPU host in "
            f"the container {container(settings)}; --dry-run prints every command"
        )
    ranks_here = min(settings.parallel.world_size, settings.parallel.gpus_per_node)
    if len(visible) < ranks_here:
        raise BuildError(
            f"parallel needs {ranks_here} GPUs on this host, nvidia-smi shows {len(visible)}: "
            "lower --tensor-parallel or --pipeline-parallel, or build on a larger host"
        )
    return visible[0]
