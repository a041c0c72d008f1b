"""The registry of runtimes. A new runtime is one file and one line here, or one entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from enginehouse.engine.runtime import Runtime

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError
from enginehouse.manifest import EngineSettings


def _openvino(bundle: Bundle, settings: EngineSettings) -> Runtime:
    from enginehouse.engine.openvino import OpenVinoRuntime

    return OpenVinoRuntime(bundle, settings)


def _tensorrt_llm(bundle: Bundle, settings: EngineSettings) -> Runtime:
    from enginehouse.engine.tensorrt_llm import TensorRtLlmRuntime

    return TensorRtLlmRuntime(bundle, settings)


_RUNTIMES: dict[str, Callable[[Bundle, EngineSettings], Runtime]] = {
    "openvino": _openvino,
    "tensorrt_llm": _tensorrt_llm,
}
#: Where packages register others: entry points ``name = "module:load"``.
_GROUP = "enginehouse.runtimes"


def load_runtime(bundle: Bundle, settings: EngineSettings) -> Runtime:
    """Load a bundle's engine.

    Raises:
        BundleError: if the manifest names a runtime that is not here.
        FingerprintError: if the bundle does not fit this host.
    """
    name = bundle.manifest.runtime
    if name in _RUNTIMES:
        return _RUNTIMES[name](bundle, settings)
    registered = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if name not in registered:
        raise BundleError(
            f"{bundle.path}: runtime {name!r} is not available here; available: "
            f"{', '.join((*_RUNTIMES, *sorted(registered)))}"
        )
    load: Callable[[Bundle, EngineSettings], Runtime] = registered[name].load()
    return load(bundle, settings)
