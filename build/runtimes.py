"""The builders by runtime. A new runtime is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from enginehouse.build.plan import Builder

from enginehouse.errors import BuildError


def _openvino() -> Builder:
    from enginehouse.build.openvino import OpenVinoBuilder

    return OpenVinoBuilder()


def _tensorrt_llm() -> Builder:
    from enginehouse.build.tensorrt_llm import TensorRtLlmBuilder

    return TensorRtLlmBuilder()


_BUILDERS: dict[str, Callable[[], Builder]] = {
    "openvino": _openvino,
    "tensorrt_llm": _tensorrt_llm,
}


def runtime_names() -> tuple[str, ...]:
    """Names of the runtimes that have a builder."""
    return tuple(_BUILDERS)


def builder_for(runtime: str) -> Builder:
    """The builder of a runtime.

    Raises:
        BuildError: if there is none; names those that exist.
    """
    if runtime not in _BUILDERS:
        raise BuildError(f"unknown runtime {runtime!r}: choose one of {', '.join(_BUILDERS)}")
    return _BUILDERS[runtime]()
