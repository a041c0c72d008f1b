"""`enginehouse perf plan`."""

from __future__ import annotations

from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, print_json
from enginehouse.cli.durations import latency_s
from enginehouse.cli.markdown import print_markdown
from enginehouse.perf.planner.bounds import PlannedWorkload
from enginehouse.perf.planner.deployment import deploy
from enginehouse.perf.planner.expected import PlannedReplica
from enginehouse.perf.planner.gpu import find_gpu
from enginehouse.perf.planner.model import read_model
from enginehouse.perf.planner.plan import UTILISATION, FleetDemand, PlannedSlo
from enginehouse.perf.planner.plan import plan as plan_replicas
from enginehouse.perf.planner.text import as_dict, markdown


def plan(
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
    """Plan GPUs by formulas: memory, upper bounds, expected performance, replicas and cost.

    Formulas, sources and a check against published figures: docs/gpu-planning.md.

    Example: `enginehouse perf plan --model llama-3.1-8b --gpu H100-SXM --precision fp8 --demand 20`
    """
    deployment = deploy(read_model(model), find_gpu(gpu), precision, kv_precision, tp)
    replica = PlannedReplica(deployment, PlannedWorkload(isl, osl))
    answer = plan_replicas(
        replica, PlannedSlo(ttft_p95, itl_p95), FleetDemand(demand, utilisation, gpu_hour_price)
    )
    if as_json:
        print_json(as_dict(answer))
    else:
        print_markdown(markdown(answer))
