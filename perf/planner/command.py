"""`enginehouse perf plan`."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from enginehouse.perf.planner.bounds import Workload
from enginehouse.perf.planner.deployment import deploy
from enginehouse.perf.planner.expected import Replica
from enginehouse.perf.planner.gpu import find_gpu
from enginehouse.perf.planner.model import read_model
from enginehouse.perf.planner.plan import UTILISATION, Load, Slo, plan
from enginehouse.perf.planner.text import as_dict, markdown
from rich.markdown import Markdown

from enginehouse.cli.common import JsonOption, console, print_json
from enginehouse.cli.durations import duration_s

_MILLISECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)ms")


def latency_s(text: str) -> float:
    """Seconds of ``20ms``, ``1.5s`` and what else `duration_s` takes; for an option's `parser`.

    Raises:
        typer.BadParameter: if it is something else.
    """
    found = _MILLISECONDS.fullmatch(text.strip())
    if found is not None:
        return float(found[1]) / 1000
    try:
        return duration_s(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r}: give a number and a unit, as in 500ms, 1.5s or 1m"
        ) from None


def plan_command(  # noqa: PLR0913 - a command has as many options as it has
    *,
    model: Annotated[
        str,
        typer.Option(help="Name of the catalogue, a config.json or its directory, or a bundle."),
    ],
    gpu: Annotated[str, typer.Option(help="GPU of the catalogue, as H100-SXM, H200, L40S.")],
    precision: Annotated[
        str,
        typer.Option(help="Weights: bf16, fp16, fp8, smoothquant, w8a16, w4a16_awq, nvfp4."),
    ] = "bf16",
    kv_precision: Annotated[
        str, typer.Option(help="KV cache: auto (fp8 beside fp8 and nvfp4), bf16, fp16, fp8, int8.")
    ] = "auto",
    tp: Annotated[int, typer.Option("--tp", help="GPUs that share each layer.")] = 1,
    isl: Annotated[int, typer.Option(help="Input tokens of a request.")] = 1000,
    osl: Annotated[int, typer.Option(help="Output tokens of a request.")] = 1000,
    ttft_p95: Annotated[
        float | None,
        typer.Option(parser=latency_s, metavar="DURATION", help="Time to first token, as 500ms."),
    ] = None,
    itl_p95: Annotated[
        float | None,
        typer.Option(parser=latency_s, metavar="DURATION", help="Time between tokens, as 30ms."),
    ] = None,
    demand: Annotated[float | None, typer.Option(help="Requests a second of the fleet.")] = None,
    utilisation: Annotated[
        float, typer.Option(help="Share of the expected throughput to plan with.")
    ] = UTILISATION,
    gpu_hour_price: Annotated[
        float | None, typer.Option(help="Price of a GPU for an hour, in any currency.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan GPUs on paper: memory, what no engine can exceed, what to expect, replicas and cost.

    Formulas, sources and a check against published figures: docs/gpu-planning.md.

    Example: `enginehouse perf plan --model llama-3.1-8b --gpu H100-SXM --precision fp8 --demand 20`
    """
    deployment = deploy(read_model(model), find_gpu(gpu), precision, kv_precision, tp)
    replica = Replica(deployment, Workload(isl, osl))
    answer = plan(replica, Slo(ttft_p95, itl_p95), Load(demand, utilisation, gpu_hour_price))
    if as_json:
        print_json(as_dict(answer))
    else:
        console.print(Markdown(markdown(answer)))
