"""The vendor's releases that we support: package, containers, and what else must fit.

Sources: NVIDIA/TensorRT-LLM release notes and installation pages of each version, and the
Dockerfiles of triton-inference-server/tensorrtllm_backend; docs/tensorrt-llm.md says which entry
is read and which is inferred.
"""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.engine.tensorrt_llm_settings import Series, TensorRtLlmSettings

#: Index that serves the wheels; the package on PyPI only points there.
WHEEL_INDEX = "https://pypi.nvidia.com"


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    Attributes:
        package: version of the Python package `tensorrt_llm`.
        container: image with the package, the command-line tools and the examples.
        triton_container: image with Triton and its TensorRT-LLM backends; None where none is
            known.
    """

    package: str
    container: str
    triton_container: str | None

    @property
    def series(self) -> str:
        """Major and minor number, which a bundle is bound to."""
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
    """The image to build and run in."""
    return settings.serving.container or RELEASES[settings.version].container


def what_to_install(settings: TensorRtLlmSettings) -> str:
    """Where the package is to be had, as the end of a sentence."""
    release = RELEASES[settings.version]
    return (
        f"install tensorrt_llm {release.package} (pip3 install tensorrt_llm=={release.package} "
        f"--extra-index-url {WHEEL_INDEX}) or work in the container {container(settings)}"
    )
