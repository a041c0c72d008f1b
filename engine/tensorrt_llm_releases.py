"""The supported releases of TensorRT-LLM, with package and containers of each.

Sources: NVIDIA/TensorRT-LLM release notes and installation pages of each version, and the
Dockerfiles of triton-inference-server/tensorrtllm_backend. docs/tensorrt-llm.md says which entries
are documented and which are inferred.
"""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.engine.tensorrt_llm_settings import Series, TensorRtLlmSettings

#: Index that serves the wheels; the package on PyPI only points there.
WHEEL_INDEX = "https://pypi.nvidia.com"


@dataclass(frozen=True, slots=True)
class Release:
    """One release of TensorRT-LLM.

    Attributes:
        package: version of the Python package `tensorrt_llm`.
        container: image with the package, the command-line tools and the examples.
        triton_container: image with Triton and its TensorRT-LLM backends; None if unknown.
    """

    package: str
    container: str
    triton_container: str | None

    @property
    def series(self) -> str:
        """Major and minor version number, to which a bundle is bound."""
        return ".".join(self.package.split(".")[:2])


def _release(package: str, triton: str | None) -> Release:
    image = f"nvcr.io/nvidia/tritonserver:{triton}-trtllm-python-py3"
    return Release(
        package=package,
        container=f"nvcr.io/nvidia/tensorrt-llm/release:{package}",
        triton_container=None if triton is None else image,
    )


RELEASES: dict[Series, Release] = {
    "1.0": _release("1.0.0", "25.09"),
    "1.1": _release("1.1.0", "25.10"),
    "1.2": _release("1.2.1", "25.12"),
    "newest": _release("1.3.0rc7", None),
}


def container(settings: TensorRtLlmSettings) -> str:
    """The container image for building and running."""
    return settings.serving.container or RELEASES[settings.version].container


def what_to_install(settings: TensorRtLlmSettings) -> str:
    """How to install the package, as the end of a sentence."""
    release = RELEASES[settings.version]
    return (
        f"install tensorrt_llm {release.package} (pip3 install tensorrt_llm=={release.package} "
        f"--extra-index-url {WHEEL_INDEX}) or work in the container {container(settings)}"
    )
