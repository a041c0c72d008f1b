"""`enginehouse keys create`, `list`, `rotate`, `revoke`, `triton-flags`."""

from __future__ import annotations

from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings
from enginehouse.cli.durations import duration_s

from enginehouse.admin_token import ensure_admin_token
from enginehouse.triton_control import closing_flags, triton_control_secret

# The adapter's modules take a second to import: only commands that need them import them.

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="API keys: create, list, rotate and revoke them.",
    no_args_is_help=True,
)

IdArgument = Annotated[str, typer.Argument(help="The key's id, the 12 characters after `eh_`.")]


@app.command("create")
def create(
    tenant: Annotated[
        str, typer.Option("--tenant", help="Owner of the key, for limits and usage.")
    ],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="inference (default), read, admin; repeat.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="smollm2, or only smollm2@8; repeatable. Default: all."),
    ] = None,
    expires: Annotated[
        float | None,
        typer.Option("--expires", parser=duration_s, metavar="TIME", help="After 30d, 12h, …"),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="For people.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Create a key; it is shown only once, alone on stdout.

    Example: `enginehouse keys create --tenant acme --model smollm2 --expires 30d`
    """
    from enginehouse.cli.keys_view import open_keys, show_issued
    from enginehouse.gateway.access.request import KeyRequest

    from enginehouse.specifications import checked

    raw = {
        "tenant": tenant,
        "roles": role or ["inference"],
        "models": model or None,
        "expires_in_s": expires,
        "note": note,
    }
    asked = checked(KeyRequest, raw, "keys create")
    with open_keys() as keys:
        show_issued(keys.create(asked), as_json=as_json)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List keys, newest first; secrets are not stored, so none are shown.

    Example: `enginehouse keys list --tenant acme`
    """
    from enginehouse.cli.keys_view import open_keys, show_keys

    with open_keys() as keys:
        show_keys(keys.list(tenant), as_json=as_json)


@app.command("rotate")
def rotate(
    key_id: IdArgument,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            parser=duration_s,
            metavar="TIME",
            help="How long the old secret stays valid, for example 1h; 0s ends it at once.",
        ),
    ] = "1h",  # type: ignore[assignment] # Typer parses it
    as_json: JsonOption = False,
) -> None:
    """Replace a key's secret; the new one is shown only once, the old one stays valid for a while.

    Example: `enginehouse keys rotate 3f9c01d27ab4 --grace 1h`
    """
    from enginehouse.cli.keys_view import open_keys, show_issued

    with open_keys() as keys:
        show_issued(keys.rotate(key_id, grace), as_json=as_json)


@app.command("revoke")
def revoke(key_id: IdArgument) -> None:
    """Revoke a key permanently; adapters apply it within 5 seconds.

    Example: `enginehouse keys revoke 3f9c01d27ab4`
    """
    from enginehouse.cli.keys_view import open_keys

    with open_keys() as keys:
        key = keys.revoke(key_id)
    console.print(f"key {key.id} of {key.tenant} is revoked")


@app.command("triton-flags")
def triton_flags() -> None:
    """Print the flags that restrict the control APIs of a Triton not started by `enginehouse up`.

    Example: `tritonserver --model-control-mode=explicit $(enginehouse keys triton-flags) …`
    """
    secret = triton_control_secret(ensure_admin_token(current_settings()))
    typer.echo("\n".join(closing_flags(secret)))
