"""A stand-in for the package `tensorrt_llm`, written to a directory as files.

It takes exactly the recorded arguments of one series and raises on anything else. It computes
nothing: see `vendor.StandInLLM` for what it answers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.contract.facts import FACTS_DIR, facts

#: What the stand-in says it is; the series' own first release.
VERSIONS = {"1.0": "1.0.0", "1.1": "1.1.0", "1.2": "1.2.0", "newest": "1.3.0rc7"}
_MODULE = '"""Part of the stand-in."""\n\nfrom tensorrt_llm._stand_in import populate\n\n'
_MODULE += "populate(globals(), __name__)\n"


def write_stand_in(directory: Path, series: str) -> None:
    """Write the package and its metadata, so that both imports and versions are answered."""
    package = directory / "tensorrt_llm"
    package.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "vendor.py", package / "_stand_in.py")
    shutil.copy(FACTS_DIR / f"{series}.json", package / "_facts.json")
    data = facts(series).data
    entries = [*data["classes"].values(), *data["enums"].values()]
    for module in {entry["module"] for entry in entries if entry.get("module")}:
        _write_module(directory, module)
    info = directory / f"tensorrt_llm-{VERSIONS[series]}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: tensorrt_llm\nVersion: {VERSIONS[series]}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")


def _write_module(directory: Path, module: str) -> None:
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        folder = directory.joinpath(*parts[:depth])
        folder.mkdir(exist_ok=True)
        if not (folder / "__init__.py").exists():
            (folder / "__init__.py").write_text(_MODULE, encoding="utf-8")


def write_gpus(directory: Path, count: int) -> None:
    """A program `nvidia-smi` that answers our own query with `count` GPUs, and nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "nvidia-smi"
    rows = "Stand-in GPU, 9.0, 81920\n" * count
    script = f"#!/usr/bin/env python3\nimport sys\nassert sys.argv[1:] == {_QUERY!r}\n"
    program.write_text(f"{script}print({json.dumps(rows)}, end='')\n", encoding="utf-8")
    program.chmod(0o755)


_QUERY = ["--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits"]
