"""The catalogue of GPUs: memory, bandwidth and peak arithmetic from datasheets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from enginehouse.errors import SettingsError

_CATALOGUE = Path(__file__).with_name("gpus.yaml")
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class GpuModel:
    """One model of GPU.

    Attributes:
        memory_bytes: memory that the driver reports.
        bandwidth_bytes_per_s: bandwidth of the memory.
        flops_per_s: dense peak by type of arithmetic: ``bf16``, ``fp8``, ``int8``, ``fp4``.
        link: name of the link between the GPUs of a server.
        link_bytes_per_s: bandwidth of the link in one direction.
        link_gpus: most GPUs that it connects.
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_per_s: float
    flops_per_s: dict[str, float]
    link: str
    link_bytes_per_s: float
    link_gpus: int


def find_gpu(name: str) -> GpuModel:
    """The GPU with a name, ignoring case.

    Raises:
        SettingsError: if the catalogue does not have it; lists those that it has.
    """
    for known, gpu in gpus().items():
        if known.lower() == name.lower():
            return gpu
    raise SettingsError(f"gpu {name!r} is not in the catalogue, which has {', '.join(gpus())}")


@cache
def gpus() -> dict[str, GpuModel]:
    """All GPUs of the catalogue."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load(_CATALOGUE.read_text(encoding="utf-8"))
    return {name: _gpu(name, entry) for name, entry in entries.items()}


def _gpu(name: str, entry: dict[str, Any]) -> GpuModel:
    return GpuModel(
        name=name,
        memory_bytes=entry["memory_mib"] * _MIB,
        bandwidth_bytes_per_s=entry["bandwidth_gb_s"] * 1e9,
        flops_per_s={kind: tera * 1e12 for kind, tera in entry["tflops"].items()},
        link=entry["link"],
        link_bytes_per_s=entry["link_gb_s"] * 1e9,
        link_gpus=entry["link_gpus"],
    )
