"""Facts about this host that an engine depends on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

#: CPU flags that affect a CPU engine's choice of kernels, as named in /proc/cpuinfo.
_RELEVANT_FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
)


class Gpu(BaseModel):
    """One GPU, as reported by `nvidia-smi`."""

    model_config = ConfigDict(frozen=True)

    name: str
    compute_capability: str
    memory_bytes: int


class HostFingerprint(BaseModel):
    """Facts about a host that determine whether and how an engine runs there."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    cpu_model: str
    cpu_features: tuple[str, ...]
    cpu_count: int
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()


def gpus() -> tuple[Gpu, ...]:
    """GPUs available to this process; empty without a working `nvidia-smi`."""
    query = ("nvidia-smi", "--query-gpu=name,compute_cap,memory.total",
             "--format=csv,noheader,nounits")  # fmt: skip
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.split(",") for line in done.stdout.strip().splitlines()]
    return tuple(
        Gpu(name=n.strip(), compute_capability=c.strip(), memory_bytes=int(m) * 2**20)
        for n, c, m in rows
    )


def available_memory() -> int:
    """Bytes available to a new process, on the machine or in its control group (v2)."""
    free = int(psutil.virtual_memory().available)
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.is_file() and used.is_file():
        text = limit.read_text().strip()
        if text != "max":
            free = min(free, int(text) - int(used.read_text()))
    return free


def host_fingerprint(*, with_gpus: bool = False) -> HostFingerprint:
    """Read this host's fingerprint (Linux: /proc/cpuinfo). GPUs on request: that runs a process."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return HostFingerprint(
        architecture=platform.machine(),
        cpu_model=fields.get("model name", "unknown"),
        cpu_features=tuple(flag for flag in _RELEVANT_FLAGS if flag in flags),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=gpus() if with_gpus else (),
    )


def package_version(package: str) -> str:
    """Installed version of a package, or ``"absent"``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
