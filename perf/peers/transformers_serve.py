"""`transformers serve` with continuous batching, with the best settings of docs/peers.md."""

from __future__ import annotations

import json
from collections.abc import Mapping

from enginehouse.perf.peers.peer import Dialect, Launch, Place, SideRole

_PAGE_TOKENS = 256
#: 64 pages of 256 tokens: enough for 64 streams of the benchmark's lengths.
_PAGES = 64
_BATCH_TOKENS = 256


class TransformersServe:
    """See `Peer`."""

    name = "transformers"
    title = "transformers serve"
    kind = SideRole.PEER
    package = "transformers"
    own_environment = True
    install_env: Mapping[str, str] = {}
    unwanted: tuple[str, ...] = ()

    def launch(self, place: Place) -> Launch:
        """See `Peer.launch`: the server, which loads the model before it is ready."""
        argv = (
            str(place.scripts / "transformers"),
            "serve",
            str(place.checkpoint.huggingface),
            "--continuous-batching",
            *("--attn-implementation", "eager"),
            *("--device", "cpu", "--dtype", "bfloat16"),
            # The default takes nine tenths of the free memory.
            *("--cb-block-size", str(_PAGE_TOKENS), "--cb-num-blocks", str(_PAGES)),
            # The default is 8192, and masks of that size are created at every step.
            *("--cb-max-batch-tokens", str(_BATCH_TOKENS)),
            *("--host", "127.0.0.1", "--port", str(place.port)),
        )
        return Launch(argv, "/health", {"HF_HUB_OFFLINE": "1"})

    def dialect(self, place: Place) -> Dialect:
        """See `Peer.dialect`: a generation config with the impossible end id -1."""
        config = {"eos_token_id": -1, "do_sample": False}
        return Dialect(str(place.checkpoint.huggingface), {"generation_config": json.dumps(config)})
