"""`enginehouse up`, `status`, `chat`."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

import httpx
import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, tell
from enginehouse.cli.terminal import plain, styled
from enginehouse.client.chat import ChatClient
from rich.table import Table

from enginehouse.errors import EngineUnavailableError, ServingError
from enginehouse.settings import Settings
from enginehouse.tls import tls_context


def up(
    compat_names: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Serve MODEL also as ensemble, preprocessing, tensorrt_llm, postprocessing and "
            "tensorrt_llm_bls, for clients that have NVIDIA's names built in.",
        ),
    ] = None,
    compat_unary: Annotated[
        bool,
        typer.Option(
            help="Let NVIDIA's names answer each request once, as their decoupled_mode: False "
            "does, instead of in a stream.",
        ),
    ] = False,
) -> None:
    """Start Triton and the adapter, and serve every champion until Ctrl-C.

    Builds, registers and promotes the default model first if the registry is empty.

    Example: `ENGINEHOUSE_API_PORT=9090 enginehouse up`
    """
    from enginehouse.stack.up import run_stack

    settings = current_settings()
    if compat_names is not None:
        settings = replace(settings, compat_model=compat_names)
    if compat_unary:
        settings = replace(settings, compat_decoupled=False)

    def ready(serving: dict[str, int]) -> None:
        with suppress(OSError):
            _announce(settings, serving)

    run_stack(settings, os.environ, tell, ready)
    tell("stopped")


def _announce(settings: Settings, serving: dict[str, int]) -> None:
    at = settings.addresses
    table = Table(show_header=False, title="Enginehouse is ready")
    for name, version in serving.items():
        table.add_row("model", f"{name}, version {version}")
    table.add_row("chat endpoint", f"{at.api_url}/v1")
    for replica in settings.replica_addresses:
        table.add_row("Triton HTTP", replica.triton_http_url)
        table.add_row("Triton gRPC", replica.triton_grpc_url)
    table.add_row("release controller", at.controller_url)
    table.add_row("metrics", f"{at.api_url}/metrics and {at.triton_metrics_url}")
    table.add_row("logs", str(settings.logs_dir))
    console.print(table)
    if settings.endpoint.keys:
        console.print("Make a key: enginehouse keys create --tenant NAME")
        console.print("Send it as Authorization: Bearer KEY. Ctrl-C stops everything.")
        return
    with ChatClient(at.api_url) as client:
        models = client.generators()
    if not models:
        return
    model = models[0]["id"]
    question = '{"role": "user", "content": "What is the capital of France?"}'
    console.print("Ask it something, or stop everything with Ctrl-C:\n")
    console.print(
        f"curl -s {at.api_url}/v1/chat/completions -H 'Content-Type: application/json' "
        f'-d \'{{"model": "{model}", "temperature": 0, "messages": [{question}]}}\'\n',
        soft_wrap=True,
        highlight=False,
    )


def status(as_json: JsonOption = False) -> None:
    """Show what runs, what it serves, and whether it answers.

    Exit status 1 if something does not answer.

    Example: `enginehouse status --json`
    """
    settings = current_settings()
    at = settings.addresses
    report: dict[str, Any] = {
        "api": _probe(f"{at.api_url}/health/live"),
        "triton": _probe(f"{at.triton_http_url}/v2/health/live"),
        "models": _models(settings),
    }
    healthy = all(report[name]["up"] for name in ("api", "triton")) and bool(report["models"])
    healthy = healthy and all(model["status"] == "ready" for model in report["models"])
    if as_json:
        print_json(report)
    else:
        _print_status(report)
    if not healthy:
        raise typer.Exit(1)


def _probe(url: str) -> dict[str, Any]:
    try:
        answer = httpx.get(url, timeout=5.0, trust_env=False, verify=tls_context(url))
    except httpx.HTTPError:
        return {"url": url, "up": False}
    return {"url": url, "up": answer.is_success}


def _models(settings: Settings) -> list[dict[str, Any]]:
    """Models with their versions and the result of a one-token inference."""
    url = settings.addresses.api_url
    try:
        answer = httpx.get(
            f"{url}/health/ready", timeout=20.0, trust_env=False, verify=tls_context(url)
        )
        verdicts = answer.json()["models"]
        with ChatClient(url) as client:
            served = client.models()
    except httpx.HTTPError:
        return []
    except ServingError:
        # Without a key only readiness is available.
        return [{"model": name, "status": verdict} for name, verdict in verdicts.items()]
    return [
        {"model": model["id"], **model["enginehouse"], "status": verdicts.get(model["id"])}
        for model in served
    ]


def _print_status(report: dict[str, Any]) -> None:
    table = Table("part", "address", "state")
    for name in ("api", "triton"):
        state = styled(("up", "green") if report[name]["up"] else ("down", "red"))
        table.add_row(name, report[name]["url"], state)
    console.print(table)
    models = Table("model", "version", "runtime", "context", "state")
    for model in report["models"]:
        models.add_row(
            model["model"],
            *(str(model.get(field, "?")) for field in ("version", "runtime", "context_length")),
            str(model["status"]),
        )
    console.print(models if report["models"] else "no model is served")


def chat(
    model: Annotated[str | None, typer.Option(help="Model; default: the first served.")] = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.0,
) -> None:
    """Chat with a running stack in the terminal; an empty line or Ctrl-D ends it.

    Example: `enginehouse chat --system "Answer in one sentence."`
    """
    with ChatClient(current_settings().addresses.api_url) as client:
        served = client.generators()
        if not served:
            raise EngineUnavailableError("no chat model is served yet; see `enginehouse status`")
        chosen = model or served[0]["id"]
        messages = [{"role": "system", "content": system}] if system else []
        console.print(styled((f"{chosen}; an empty line ends the chat", "dim")))
        while line := _ask():
            messages.append({"role": "user", "content": line})
            answer = _tell(client, chosen, messages, max_tokens, temperature)
            messages.append({"role": "assistant", "content": answer})


def _ask() -> str:
    try:
        return console.input(styled(("you>", "bold cyan"), " "), markup=False).strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def _tell(
    client: ChatClient,
    model: str,
    messages: list[dict[str, str]],
    max_tokens: int,
    temperature: float,
) -> str:
    pieces = []
    console.print(styled((f"{model}>", "bold green"), " "), end="")
    for piece in client.stream(model, messages, max_tokens=max_tokens, temperature=temperature):
        console.out(plain(piece), end="", highlight=False)
        pieces.append(piece)
    console.print()
    return "".join(pieces)
