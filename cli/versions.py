"""`enginehouse versions`, `diff`, `label`, `transfer`, `retire`, `delete`, `gc`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.cli.terminal import styled
from enginehouse.cli.version_tables import diff_table, garbage_table, version_table
from enginehouse.registry import Registry
from enginehouse.registry.environments import Environment
from enginehouse.registry.facts import compare_versions
from enginehouse.registry.garbage import Collector
from enginehouse.registry.labelling import remove_label, set_label
from enginehouse.registry.labels import resolve
from enginehouse.registry.retirement import Retirement
from enginehouse.registry.search import LabelRange, Query, parse_tag
from enginehouse.registry.transfer import transfer as transfer_version
from rich.filesize import decimal

from enginehouse.errors import RegistryError
from enginehouse.urls import check_url

NameArgument = Annotated[str, typer.Argument(help="Registered model, for example smollm2.")]
VersionArgument = Annotated[
    str, typer.Argument(help="Number, label or alias: 8, 1.4.0, build-1234, champion.")
]


def versions(
    name: Annotated[str | None, typer.Argument(help="Registered model; default: all.")] = None,
    runtime: Annotated[
        str | None, typer.Option(help="Runtime, with or without its version: openvino.")
    ] = None,
    weight_format: Annotated[
        str | None, typer.Option("--format", help="Weight format, for example int8.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Range of labels: '>=1.2.0,<2.0.0' or 2026-11-21.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="key=value; may be repeated.")] = None,
    quality: Annotated[
        str | None, typer.Option(help="Proof: passed, accepted or not_measured.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="Alias, for example champion.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List versions, newest first, optionally filtered.

    Example: `enginehouse versions smollm2 --format int8 --label '>=1.2.0' --json`
    """
    registry = Registry(current_settings())
    query = Query(
        runtime=runtime,
        weight_format=weight_format,
        label=None if label is None else LabelRange.parse(label),
        tags=tuple(parse_tag(text) for text in tag or ()),
        quality=quality,
        alias=alias,
    )
    names = [name] if name is not None else registry.models()
    found = [record for each in names for record in query.of(registry.versions(each))]
    if as_json:
        several = name is None
        print_json([{"name": r.name, **r.as_json()} if several else r.as_json() for r in found])
    else:
        console.print(version_table(found, name))


def diff(
    name: NameArgument, left: VersionArgument, right: VersionArgument, as_json: JsonOption = False
) -> None:
    """Compare two versions: manifest, quality, speed, size, tokenizer and chat template.

    Example: `enginehouse diff smollm2 7 8`
    """
    registry = Registry(current_settings())
    found = compare_versions(
        registry, resolve(registry, name, left), resolve(registry, name, right)
    )
    if as_json:
        print_json(found.as_json())
        return
    console.print(diff_table(found))
    for title, lines in (("chat template", found.chat_template), ("tokenizer", found.tokenizer)):
        console.print(styled((title, "bold"), f": {'differs' if lines else 'the same'}"))
        for line in lines:
            colour = {"+": "green", "-": "red"}.get(line[:1], "dim")
            console.print(styled("  ", (line, colour)), highlight=False, soft_wrap=True)


def label(
    name: NameArgument,
    version: VersionArgument,
    text: Annotated[
        str | None,
        typer.Argument(metavar="LABEL", help="1.4.0, 2026-11-21, 2026-11-21.2 or build-1234."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the label off.")] = False,
) -> None:
    """Give a version a label; every command accepts it in place of the number.

    Example: `enginehouse label smollm2 8 1.4.0`
    """
    if remove == (text is not None):
        raise RegistryError("give either a label or --remove")
    registry = Registry(current_settings())
    number = resolve(registry, name, version).version
    if text is None:
        remove_label(registry, name, number)
        console.print(f"{name} version {number} has no label")
    else:
        given = set_label(registry, name, number, text)
        console.print(f"{name} version {number} is {given.text}")


def transfer(
    name: NameArgument,
    version: VersionArgument,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Target environment; `none`: models without a prefix."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Source environment; default: the current one."),
    ] = None,
    to_registry: Annotated[
        str | None, typer.Option(help="URI of another MLflow as the target.")
    ] = None,
) -> None:
    """Transfer a version to another environment or registry; files are copied only if needed.

    Example: `enginehouse transfer smollm2 8 --from staging --to production`
    """
    settings = current_settings()
    if source is not None:
        settings = replace(settings, environment=Environment.named(source).prefix)
    there = settings
    if to is not None:
        there = replace(there, environment=Environment.named(to).prefix)
    if to_registry is not None:
        there = replace(there, mlflow_tracking_uri=check_url("--to-registry", to_registry))
    if there == settings:
        raise RegistryError("say where it goes: --to ENVIRONMENT, --to-registry URI, or both")
    registry, target = Registry(settings), Registry(there)
    done = transfer_version(registry, target, name, resolve(registry, name, version).version)
    where = f"{name} version {done.record.version} of {target.environment}"
    if not done.created:
        console.print(f"nothing to do: it is {where} already")
    else:
        console.print(f"it is {where} ({'copied' if done.copied else 'nothing was copied'})")


def retire(
    name: NameArgument,
    version: VersionArgument,
    reason: Annotated[str, typer.Option(help="Reason, shown when it is released.")] = "retired",
    undo: Annotated[bool, typer.Option("--undo", help="Undo the retirement.")] = False,
) -> None:
    """Mark a version so that it can neither be promoted nor released.

    Fails while the version has an alias, is loaded or is being released.

    Example: `enginehouse retire smollm2 3 --reason 'answers in the wrong language'`
    """
    settings = current_settings()
    registry = Registry(settings)
    number = resolve(registry, name, version).version
    retirement = Retirement(registry, settings.routes_dir)
    if undo:
        retirement.reinstate(name, number)
        console.print(f"{name} version {number} may be released again")
    else:
        retirement.retire(name, number, reason)
        console.print(f"{name} version {number} is retired")


def delete(
    name: NameArgument,
    version: VersionArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a version; `enginehouse gc` removes its files later.

    Fails while the version has an alias, is loaded or is being released.

    Example: `enginehouse delete smollm2 3 --yes`
    """
    settings = current_settings()
    registry = Registry(settings)
    number = resolve(registry, name, version).version
    if not yes:
        typer.confirm(f"Delete {name} version {number}?", abort=True)
    Retirement(registry, settings.routes_dir).delete(name, number)
    console.print(f"{name} version {number} is deleted; its files go with `enginehouse gc`")


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove artefacts and cached copies that no version refers to, after asking.

    Items younger than an hour are kept.

    Example: `enginehouse gc --dry-run`
    """
    if dry_run and yes:
        raise RegistryError("give either --dry-run or --yes")
    settings = current_settings()
    collector = Collector(Registry(settings), settings)
    found = collector.collect(dry_run=not yes)
    if as_json:
        print_json([item.as_json() for item in found])
    else:
        console.print(garbage_table(found))
    if dry_run or not found:
        return
    if not yes and not as_json and typer.confirm("Remove all of this?"):
        # Search again, because time has passed since the list was shown.
        found = collector.collect(dry_run=False)
        yes = True
    if yes:
        say(f"removed {decimal(sum(item.size_bytes for item in found))}")
