"""A minimal handwritten baseline: a decoupled Triton model and a FastAPI relay.

It consists of the two files in `relay/`. It uses the same environment, engine, Triton and pipeline
settings as Enginehouse, so that only the path differs. This module starts both:
``python -m enginehouse.perf.peers.handwritten HOME BUNDLE PORT``.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from enginehouse.client import TritonClient
from enginehouse.perf.peers.peer import Dialect, Launch, Place, SideRole
from enginehouse.perf.ports import free_ports
from enginehouse.stack.process import ManagedProcess
from enginehouse.stack.triton_server import start_triton

from enginehouse.admin_token import ensure_admin_token
from enginehouse.bundle import CHAT_TEMPLATE_FILE
from enginehouse.errors import StackError
from enginehouse.settings import Addresses, Settings
from enginehouse.triton_control import triton_control_secret

_RELAY = Path(__file__).parent / "relay"
_MODEL = "handwritten"
_START_TIMEOUT_S = 60.0
_PATIENCE_S = 6.0
_ARGUMENTS = 4


class Handwritten:
    """See `Peer`."""

    name = "handwritten"
    title = "Triton model and FastAPI relay by hand"
    kind = SideRole.BASELINE
    package = "nvidia-pytriton"
    own_environment = False
    install_env: Mapping[str, str] = {}
    unwanted: tuple[str, ...] = ()

    def launch(self, place: Place) -> Launch:
        """See `Peer.launch`: this module, which starts Triton and the relay."""
        argv = (str(place.python), "-m", __name__, str(place.home), str(place.checkpoint.bundle))
        return Launch((*argv, str(place.port)), "/health")

    def dialect(self, place: Place) -> Dialect:  # noqa: ARG002 - part of the protocol
        """See `Peer.dialect`: it supports ``ignore_eos``."""
        return Dialect(self.name, {"ignore_eos": True})


def main() -> None:
    """Serve until SIGTERM."""
    if len(sys.argv) != _ARGUMENTS:
        raise SystemExit(f"usage: python -m {__spec__.name} HOME BUNDLE PORT")
    home, bundle, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    http, grpc, metrics = free_ports(3)
    addresses = Addresses(triton_http_port=http, triton_grpc_port=grpc, triton_metrics_port=metrics)
    settings = Settings(home / "stack", addresses)
    _write_repository(settings.model_repository_dir, bundle)
    with ExitStack() as cleanup:
        triton = start_triton(settings, settings.addresses, "triton", os.environ)
        cleanup.callback(triton.stop, _PATIENCE_S)
        _load(settings, triton)
        relay = ManagedProcess(
            "relay", _relay(port), _relay_env(settings, bundle), home / "relay.log"
        )
        cleanup.callback(relay.stop, _PATIENCE_S)
        while not ended.wait(0.5):
            if not (triton.running() and relay.running()):
                raise StackError(f"the relay or Triton ended: {relay.log_tail(3)}")


def _relay(port: int) -> list[str]:
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(_RELAY)]
    return [*uvicorn, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]


def _relay_env(settings: Settings, bundle: Path) -> dict[str, str]:
    return os.environ | {
        "TRITON_GRPC": settings.addresses.triton_grpc_url,
        "CHAT_TEMPLATE": str(bundle / CHAT_TEMPLATE_FILE),
    }


def _write_repository(repository: Path, bundle: Path) -> None:
    version = repository / _MODEL / "1"
    version.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_RELAY / "model.py", version / "model.py")
    config = (_RELAY / "config.pbtxt").read_text(encoding="utf-8")
    (repository / _MODEL / "config.pbtxt").write_text(
        config.replace("BUNDLE", str(bundle)), encoding="utf-8"
    )


def _load(settings: Settings, triton: ManagedProcess) -> None:
    secret = triton_control_secret(ensure_admin_token(settings))
    until = time.monotonic() + _START_TIMEOUT_S
    with TritonClient(settings.addresses.triton_grpc_url, control_secret=secret) as client:
        while not client.live():
            if not triton.running() or time.monotonic() > until:
                raise StackError(f"Triton did not start: {triton.log_tail(3)}")
            time.sleep(0.1)
        client.load(_MODEL)


if __name__ == "__main__":
    main()
