"""Suggests deployments that fit: more GPUs, smaller weights, or another GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from enginehouse.perf.planner.deployment import Deployment, deploy, precisions_of
from enginehouse.perf.planner.expected import PlannedReplica
from enginehouse.perf.planner.gpu import GpuModel, gpus

from enginehouse.errors import SettingsError

_MOST_NAMED = 4


def what_would(replica: PlannedReplica, suits: Callable[[PlannedReplica], bool], verb: str) -> str:
    """Name the nearest deployments that suit, as the end of an error message.

    Args:
        replica: the deployment that does not suit.
        suits: tests a deployment.
        verb: verb of the sentence: ``fit`` or ``do``.
    """
    found = [_name(d, replica.deployment) for d in _nearest(replica, suits)]
    if not found:
        return (
            "no GPU and weight format of the catalogue would: ask for shorter isl and osl or a "
            "looser SLO, or take a smaller model"
        )
    return f"what would {verb}: {'; '.join(found[:_MOST_NAMED])}"


def _nearest(
    replica: PlannedReplica, suits: Callable[[PlannedReplica], bool]
) -> Iterator[Deployment]:
    """Deployments with the fewest GPUs: as requested, with smaller weights, then on other GPUs."""
    d = replica.deployment
    asked = _fewest(replica, suits, d.gpu, [d.precision])
    if asked is not None:
        yield asked
    smaller = _fewest(replica, suits, d.gpu, _smaller(d, d.gpu))
    if smaller and (asked is None or smaller.tensor_parallel < asked.tensor_parallel):
        yield smaller
    for gpu in gpus().values():
        if gpu.name != d.gpu.name:
            other = _fewest(replica, suits, gpu, [d.precision, *_smaller(d, gpu)])
            if other is not None:
                yield other


def _fewest(
    replica: PlannedReplica,
    suits: Callable[[PlannedReplica], bool],
    gpu: GpuModel,
    precisions: list[str],
) -> Deployment | None:
    """The first weight format that suits, on the fewest GPUs; None if none does."""
    for precision in precisions:
        for deployment in _ways(replica.deployment, gpu, precision):
            if suits(replace(replica, deployment=deployment)):
                return deployment
    return None


def _smaller(d: Deployment, gpu: GpuModel) -> list[str]:
    """Weight formats of a GPU that need less memory than this deployment's."""
    now = d.weight_bytes_per_gpu
    return [
        precision
        for precision in precisions_of(gpu)
        if replace(d, precision=precision).weight_bytes_per_gpu < now
    ]


def _ways(d: Deployment, gpu: GpuModel, precision: str) -> Iterator[Deployment]:
    usual = deploy(d.model, d.gpu, d.precision, "auto", d.tensor_parallel).kv_precision
    kv_precision = "auto" if d.kv_precision == usual else d.kv_precision
    for ways in range(1, gpu.link_gpus + 1):
        try:
            yield deploy(d.model, gpu, precision, kv_precision, ways)
        except SettingsError:
            continue


def _name(d: Deployment, instead_of: Deployment) -> str:
    text = f"{d.tensor_parallel} x {d.gpu.name}"
    return text if d.precision == instead_of.precision else f"{text} in {d.precision}"
