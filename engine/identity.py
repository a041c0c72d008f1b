"""The facts beside version and prompt that determine an engine's exact output.

The same weights give slightly different numbers with another library version, precision, or kernel.
The CPU plugin chooses kernels by the host's instruction set and caches. Such a difference can
change a greedy answer. Clients therefore get a digest of these facts as `system_fingerprint`.
"""

from __future__ import annotations

import json
from typing import Any

from enginehouse.engine.tensorrt_llm_section import settings_in

from enginehouse.host import gpus, host_fingerprint, package_version
from enginehouse.manifest import EngineManifest, EngineSettings

#: Settings that affect waiting times only, not what is computed.
_WITHOUT_EFFECT = {"max_queue", "coalescing", "step_timeout_s"}
_PACKAGES = {
    "openvino": ("openvino", "openvino-genai"),
    "tensorrt_llm": ("tensorrt_llm", "tensorrt", "torch"),
}


def engine_identity(manifest: EngineManifest, settings: EngineSettings) -> dict[str, Any]:
    """Software versions, settings and host of an engine loaded here, as JSON values."""
    host = host_fingerprint()
    vendor = settings_in(manifest)
    packages = ("enginehouse", *_PACKAGES.get(manifest.runtime, ()))
    return {
        "runtime": manifest.runtime,
        "versions": {name: package_version(name) for name in packages},
        "settings": settings.model_dump(exclude=_WITHOUT_EFFECT),
        "tensorrt_llm": vendor and vendor.model_dump(mode="json"),
        "host": {
            "architecture": host.architecture,
            "cpu_model": host.cpu_model,
            "cpu_features": list(host.cpu_features),
            "cpu_count": host.cpu_count,
            "gpus": [gpu.model_dump() for gpu in gpus()] if manifest.runtime != "openvino" else [],
        },
    }


def as_text(identity: dict[str, Any]) -> bytes:
    """The canonical JSON of an identity, to compute a digest of."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
