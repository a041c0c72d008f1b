"""What decides an engine's numbers, beside the version and the question.

The same weights give other last digits with another library, another arithmetic, or other kernels,
which the CPU plugin chooses by the host's instructions and caches. A greedy answer can turn on
such a digit, so clients get a digest of these facts as `system_fingerprint`.
"""

from __future__ import annotations

import json
from typing import Any

from enginehouse.host import gpus, host_fingerprint, package_version
from enginehouse.manifest import EngineManifest, EngineSettings

#: Settings that say how long something waits, not what is computed.
_WITHOUT_EFFECT = {"max_queue", "coalescing", "step_timeout_s"}
_PACKAGES = {
    "openvino": ("openvino", "openvino-genai"),
    "tensorrt_llm": ("tensorrt_llm", "tensorrt", "torch"),
}


def engine_identity(manifest: EngineManifest, settings: EngineSettings) -> dict[str, Any]:
    """Software, settings and host of an engine that is loaded here; JSON values."""
    host = host_fingerprint()
    packages = ("enginehouse", *_PACKAGES.get(manifest.runtime, ()))
    return {
        "runtime": manifest.runtime,
        "versions": {name: package_version(name) for name in packages},
        "settings": settings.model_dump(exclude=_WITHOUT_EFFECT),
        "tensorrt_llm": manifest.tensorrt_llm and manifest.tensorrt_llm.model_dump(mode="json"),
        "host": {
            "architecture": host.architecture,
            "cpu_model": host.cpu_model,
            "cpu_features": list(host.cpu_features),
            "cpu_count": host.cpu_count,
            "gpus": [gpu.model_dump() for gpu in gpus()] if manifest.runtime != "openvino" else [],
        },
    }


def as_text(identity: dict[str, Any]) -> bytes:
    """One text for one identity."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()
