"""`enginehouse audit verify`, `head`, `show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json

from enginehouse.errors import StoreError

if TYPE_CHECKING:
    from enginehouse.gateway.audit.verify import ChainHead

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="The audit trail: verify it, and show its records.",
    no_args_is_help=True,
)

DirectoryArgument = Annotated[
    Path | None, typer.Argument(help="Directory of the trail; default: the adapter's own.")
]


@app.command("verify")
def verify(
    directory: DirectoryArgument = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="A hash stored elsewhere that has to be found. Repeatable."),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option("--base", help="Last hash of files that were archived. Repeatable."),
    ] = None,
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="It may end without a closing record.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify every record; exit status 1 names the file and line of the first invalid one.

    Example: `enginehouse audit verify --head 5f0c…`
    """
    from enginehouse.gateway.audit import verify as trail

    where = _directory(directory)
    found = trail.verify(where, heads=head or (), bases=base or (), allow_open=allow_open)
    if as_json:
        print_json(
            {
                "records": found.records,
                "lost": found.lost,
                "crashes": found.crashes,
                "open": list(found.open),
                "heads": [_as_json(one) for one in found.heads],
            }
        )
        return
    console.print(f"ok: {found.records} records in {where}", highlight=False, soft_wrap=True)
    if found.lost or found.crashes:
        console.print(f"{found.lost} records were lost; {found.crashes} ends without a closing one")
    for one in found.heads:
        state = "open" if one.instance in found.open else "closed"
        console.print(f"{one.instance} ({state}): {one.link.seq} {one.link.hash}", soft_wrap=True)


@app.command("head")
def show_head(directory: DirectoryArgument = None, as_json: JsonOption = False) -> None:
    """Print the newest hash of each adapter, to be stored where the adapter's host cannot write.

    Example: `enginehouse audit head --json`
    """
    from enginehouse.gateway.audit.verify import heads_of

    found = heads_of(_directory(directory))
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    for one in found:
        typer.echo(f"{one.instance} {one.link.seq} {one.link.hash}")


@app.command("show")
def show(
    request: Annotated[str, typer.Option("--request", help="A response's id or x-request-id.")],
    directory: DirectoryArgument = None,
) -> None:
    """Print the trail's records of a request, as JSON.

    Example: `enginehouse audit show --request chatcmpl-1f…`
    """
    from enginehouse.gateway.audit.verify import find

    found = find(_directory(directory), request)
    if not found:
        raise StoreError(f"no record of request {request!r}: it is not in {_directory(directory)}")
    print_json(found)


def _directory(given: Path | None) -> Path:
    where = given or current_settings().audit_dir
    if not where.is_dir():
        raise StoreError(f"{where} is not a directory: there is no audit trail")
    return where


def _as_json(head: ChainHead) -> dict[str, object]:
    return {
        "instance": head.instance,
        "file": head.file,
        "seq": head.link.seq,
        "hash": head.link.hash,
    }
