"""`enginehouse controller`: runs the release controller as its own process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

import typer
from enginehouse.cli.common import current_settings

from enginehouse.admin_token import ensure_admin_token
from enginehouse.errors import SettingsError
from enginehouse.settings import Settings


def controller() -> None:
    """Run the release controller until Ctrl-C; `enginehouse up` starts one itself.

    Of several controllers on one registry only the one with the lease acts; the others stand by.

    Example: `ENGINEHOUSE_FLEET=dns:triton.internal:8001 enginehouse controller`
    """
    # MLflow works without pandas if it cannot be imported. It would take 36 MiB in a long-running
    # process that uses no data frames.
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]

    import uvicorn
    from enginehouse.registry import Registry
    from enginehouse.registry.controller.controller import Controller
    from enginehouse.registry.controller.http import create_controller_app
    from enginehouse.stack.overrides import override_settings
    from enginehouse.stack.triton_server import LocalParts

    settings = current_settings()
    environ = dict(os.environ)
    token = ensure_admin_token(settings)
    acting = Controller(
        settings, token, _log, lambda engine: override_settings(engine, environ), LocalParts().alive
    )
    app = create_controller_app(acting, Registry(settings), token, _webhooks(settings))
    at = settings.addresses
    uvicorn.run(app, host=at.host, port=at.controller_port, log_level="warning", access_log=False)


def _webhooks(settings: Settings) -> Callable[[Mapping[str, str], bytes], object] | None:
    """The check of MLflow's signature; None without a secret."""
    path = settings.release.webhook_secret_file
    if path is None:
        return None
    from enginehouse.registry.webhooks import verifier

    try:
        secret = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"ENGINEHOUSE_WEBHOOK_SECRET_FILE={path}: it cannot be read: {error.strerror}"
        ) from error
    return verifier(secret)


def _log(text: str) -> None:
    """Write a log line; ignores write errors, because a full disk must not stop releases."""
    with suppress(OSError):
        typer.echo(f"{datetime.now().astimezone():%H:%M:%S} {text}")
