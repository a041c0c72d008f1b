"""`python -m enginehouse.api`: the adapter as a process of its own."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import uvicorn
from enginehouse.api.app import create_app
from enginehouse.api.tracing.logs import configure_logs

from enginehouse.settings import load_settings
from enginehouse.telemetry import read_telemetry

_GRACE_S = 3
# Longer than clients and load balancers keep an idle connection (httpx 5 s, AWS ALB 60 s): the
# side that closes first must be theirs, or a request meets a connection that is being reset.
_KEEP_ALIVE_S = 75
#: New objects after which a garbage collection starts; CPython's own number is 700. A request makes
#: thousands, and nearly all are freed without a collection.
_NEW_OBJECTS = 20_000


def main() -> None:
    """Serve until SIGTERM; open streams get a few seconds to end."""
    settings = load_settings(os.environ, cwd=Path.cwd())
    telemetry = read_telemetry(os.environ)
    configure_logs(telemetry.log_format)
    uvicorn.run(
        create_app(settings, access_log=telemetry.access_log, started=_spare_collections),
        host=settings.addresses.host,
        port=settings.addresses.api_port,
        log_level="warning",
        access_log=False,
        # uvicorn's own handlers would print exceptions with their words.
        log_config=None,
        loop="uvloop",
        http="httptools",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
        server_header=False,
    )


def _spare_collections() -> None:
    """Leave what was imported and opened out of every later collection: it lives to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])


if __name__ == "__main__":
    main()
