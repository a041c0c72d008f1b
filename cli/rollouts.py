"""`enginehouse rollout …`, `promote`, `rollback`: commands to the release controller."""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json
from enginehouse.cli.release_view import history_view, release_view
from enginehouse.client.controller import ControllerClient
from rich.live import Live

from enginehouse.errors import ControllerError, GateError, SpecError
from enginehouse.retry import RetryPolicy

#: Ten seconds of a controller that starts again.
_CONTROLLER_AWAY = RetryPolicy(attempts=21, base_s=0.5, most_s=0.5, jitter=False)

NameArgument = Annotated[str, typer.Argument(help="Registered model, for example smollm2.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="GATE", help="Override a gate; needs --reason."),
]

rollout = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="Shift traffic to a new version step by step, and watch it.",
    no_args_is_help=True,
)


@rollout.command("start")
def start(
    name: NameArgument,
    version: Annotated[str, typer.Argument(help="Version, label or alias.")],
    spec: Annotated[Path | None, typer.Option(help="YAML file; default: docs/rollouts.md.")] = None,
    override: OverrideOption = None,
    reason: ReasonOption = "",
    watch: Annotated[bool, typer.Option(help="Follow it to its end.")] = False,
) -> None:
    """Start the release of a version: gates, shadow, then rising weights under analysis.

    Example: `enginehouse rollout start smollm2 8 --spec rollout.yaml --watch`
    """
    from enginehouse.registry.rollouts.spec import load_spec

    body = load_spec(spec).model_dump(mode="json") if spec is not None else None
    with _client() as client:
        client.rollout(
            name,
            _version(name, version),
            actor=actor(),
            reason=reason,
            spec=body,
            overrides=_overrides(override, reason),
        )
        console.print(f"rollout of {name} version {version} started")
        if watch:
            _watch(client, name)
        else:
            console.print(f"next: enginehouse rollout status {name} --watch")


@rollout.command("status")
def status(
    name: NameArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the phase, the weights, the gates and the latest analyses.

    Example: `enginehouse rollout status smollm2 --watch`
    """
    with _client() as client:
        if as_json:
            print_json(client.model(name))
        elif watch:
            _watch(client, name)
        else:
            console.print(release_view(client.model(name)))


@rollout.command("pause")
def pause(name: NameArgument, reason: ReasonOption = "") -> None:
    """Hold the current weights; guards still abort.

    Example: `enginehouse rollout pause smollm2 --reason "looking at the logs"`
    """
    with _client() as client:
        console.print(release_view(client.pause(name, actor=actor(), reason=reason)))


@rollout.command("resume")
def resume(name: NameArgument, reason: ReasonOption = "") -> None:
    """Resume a paused rollout; its step starts again.

    Example: `enginehouse rollout resume smollm2`
    """
    with _client() as client:
        console.print(release_view(client.resume(name, actor=actor(), reason=reason)))


@rollout.command("promote")
def promote_challenger(name: NameArgument, reason: ReasonOption = "") -> None:
    """Make the challenger the champion now, without the remaining analyses.

    Example: `enginehouse rollout promote smollm2 --reason "hot fix"`
    """
    with _client() as client:
        client.promote(name, actor=actor(), reason=reason)
        _follow(client, name)


@rollout.command("abort")
def abort(name: NameArgument, reason: ReasonOption = "") -> None:
    """Shift all traffic back to the champion.

    Example: `enginehouse rollout abort smollm2 --reason "users complain"`
    """
    with _client() as client:
        answer = client.abort(name, actor=actor(), reason=reason)
    console.print(f"{name}: all new traffic on version {answer['champion']}{_took(answer)}")


@rollout.command("history")
def history(
    name: NameArgument,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Show what served at this time, ISO 8601.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who released what, when, on which figures; or what was serving at a given time.

    Example: `enginehouse rollout history smollm2 --at 2026-11-21T10:05`
    """
    from enginehouse.registry import Registry
    from enginehouse.registry.history import History

    past = History(Registry(current_settings()))
    if at is None:
        releases = past.releases(name)
        if as_json:
            print_json([release.model_dump(mode="json") for release in releases])
        else:
            console.print(history_view(name, releases))
        return
    found = past.serving_at(name, _moment(at))
    if as_json:
        weights = {} if found is None else found.weights
        print_json({"at": at, "weights": {str(v): w for v, w in weights.items()}})
    elif found is None:
        console.print(f"nothing of {name} was served at {at}")
    else:
        shares = ", ".join(f"version {v}: {w} %" for v, w in found.weights.items())
        console.print(
            f"{name} at {at}: {shares}; since {found.since.astimezone():%Y-%m-%d %H:%M:%S} by "
            f"{found.event.actor or found.release.actor} ({found.release.id}: {found.event.kind})"
        )


def promote(
    name: NameArgument,
    version: Annotated[str, typer.Argument(help="Version, label or alias.")],
    override: OverrideOption = None,
    reason: ReasonOption = "",
) -> None:
    """Make a version the champion without a rollout: gates, then all traffic at once.

    Without a release controller only the alias is moved; the next controller applies it.

    Example: `enginehouse promote smollm2 2 --reason "first release"`
    """
    from enginehouse.registry import Registry
    from enginehouse.registry.controller.lease import Lease
    from enginehouse.registry.labels import resolve

    settings = current_settings()
    registry = Registry(settings)
    number = resolve(registry, name, version).version
    if Lease(registry, "", 1.0).holder() is None:
        before = registry.promote(name, number)
        was = f", {before} is `previous`" if before not in (None, number) else ""
        console.print(f"{name} version {number} is the champion{was}")
        return
    with _client() as client:
        client.promote(
            name,
            actor=actor(),
            reason=reason,
            version=number,
            overrides=_overrides(override, reason),
        )
        _follow(client, name)


def rollback(
    name: NameArgument,
    to: Annotated[
        str | None, typer.Option(help="Version, label or alias; default: `previous`.")
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Shift all new traffic back to the version that served before.

    Example: `enginehouse rollback smollm2 --reason "wrong answers"`
    """
    # A number does not need the registry, which takes a second.
    number = None if to is None else int(to) if to.isdecimal() else _version(name, to)
    with _client() as client:
        answer = client.rollback(name, actor=actor(), reason=reason, to=number)
        if answer["rollout"] is not None and answer["rollout"]["phase"] == "preparing":
            console.print("that version is not loaded: loading it first")
            _follow(client, name)
            return
    console.print(f"{name}: all new traffic on version {answer['champion']}{_took(answer)}")


def actor() -> str:
    """The user, as recorded in the history."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _took(answer: dict[str, Any]) -> str:
    if answer.get("adapters") is None:
        return "; an adapter has not confirmed it yet"
    return f" after {answer['took_s']:.2f} s, confirmed by {answer['adapters']} adapter(s)"


def _client() -> ControllerClient:
    return ControllerClient.from_settings(current_settings())


def _version(name: str, text: str) -> int:
    from enginehouse.registry import Registry
    from enginehouse.registry.labels import resolve

    return resolve(Registry(current_settings()), name, text).version


def _overrides(gates: list[str] | None, reason: str) -> dict[str, str]:
    if gates and not reason:
        raise SpecError("--override needs --reason: it is kept with your name")
    return dict.fromkeys(gates or (), reason)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SpecError(f"--at {text!r}: give ISO 8601, for example 2026-11-21T10:05") from None
    return (found if found.tzinfo is not None else found.astimezone()).astimezone(UTC)


def _follow(client: ControllerClient, name: str) -> None:
    """Wait for the end of a promotion.

    Raises:
        GateError: if it was rejected, with the reason.
    """
    model = _until_rest(client, name, lambda _: None)
    found = model["rollout"]
    for gate in model["gates"]:
        console.print(f"  gate {gate['name']}: {gate['verdict']}: {gate['reason']}", soft_wrap=True)
    if found["phase"] != "succeeded":
        raise GateError(f"{name} version {found['challenger']}: {found['abort_reason']}")
    console.print(
        f"{name} version {model['champion']} is the champion, {model['previous']} is `previous`"
    )


def _watch(client: ControllerClient, name: str) -> None:
    with Live(console=console, refresh_per_second=4) as live:
        _until_rest(client, name, lambda model: live.update(release_view(model)))


def _until_rest(
    client: ControllerClient, name: str, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Poll until the rollout is finished or paused."""
    retries = _CONTROLLER_AWAY.retries()
    while True:
        try:
            model = client.model(name)
        except ControllerError:
            pause_s = retries.pause_s()
            if pause_s is None:
                raise
            time.sleep(pause_s)
            continue
        retries = _CONTROLLER_AWAY.retries()
        show(model)
        found = model["rollout"]
        if found is None or found["phase"] in {"succeeded", "aborted", "idle"}:
            return model
        time.sleep(0.25)
