"""The planner against what was published, and the guide against the planner."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from enginehouse.perf.planner import check
from enginehouse.perf.planner.bounds import PlannedWorkload
from enginehouse.perf.planner.check import Figure, figures, mean_error, table
from enginehouse.perf.planner.deployment import deploy
from enginehouse.perf.planner.expected import Efficiency, PlannedReplica
from enginehouse.perf.planner.gpu import gpus
from enginehouse.perf.planner.model import catalogue
from enginehouse.perf.planner.plan import FleetDemand, PlannedSlo, plan
from enginehouse.perf.planner.text import markdown

_DOC = (Path(__file__).parents[3] / "docs" / "gpu-planning.md").read_text(encoding="utf-8")
_DATA = yaml.safe_load(Path(check.__file__).with_name("published.yaml").read_text(encoding="utf-8"))


def _name(figure: Figure) -> str:
    d, lengths = figure.deployment, f"{figure.workload.isl}/{figure.workload.osl}"
    return (
        f"{figure.source} {figure.kind} {d.model.name} {d.tensor_parallel} {d.gpu.name} {lengths}"
    )


def test_no_published_figure_passes_its_bound() -> None:
    assert [_name(figure) for figure in figures() if figure.efficiency > 1] == []


def test_expected_figures_lie_within_the_stated_factor() -> None:
    assert [(_name(f), f.optimism) for f in figures() if not f.holds] == []


def test_figures_that_the_factors_were_not_fitted_to_are_met_as_well() -> None:
    rates = [figure for figure in figures() if not figure.is_latency]
    assert mean_error([figure for figure in rates if figure.role == "fitted"]) < 0.10
    assert mean_error([figure for figure in rates if figure.role == "held out"]) < 0.12


def test_many_pairs_of_model_and_gpu_are_covered() -> None:
    pairs = {(f.deployment.model.name, f.deployment.gpu.name) for f in figures()}
    assert len(pairs) >= 12
    assert {gpu for _, gpu in pairs} == set(gpus()) - {"L4"}
    assert {figure.role for figure in figures()} == {"fitted", "held out", "not met"}


def test_every_figure_names_a_source_with_address_version_and_date() -> None:
    for source in _DATA["sources"].values():
        assert source["url"].startswith("https://")
        assert source["version"]
        assert source["read"]
    assert {figure.source for figure in figures()} == set(_DATA["sources"])


def test_a_figure_past_its_bound_would_be_seen() -> None:
    figure = next(figure for figure in figures() if figure.kind == "throughput")
    changed = {item.name: getattr(figure, item.name) for item in fields(figure)}
    assert not Figure(**changed | {"published": figure.bound * 1.01}).holds
    assert not Figure(**changed | {"published": figure.expected / 1.5}).holds


def test_the_guide_carries_the_table() -> None:
    assert table() in _DOC


def test_the_guide_states_the_defaults_and_factors() -> None:
    e = Efficiency()
    for value in (e.memory, e.arithmetic, e.arithmetic_fp4, e.link):
        assert f"| {value:g} |" in _DOC
    assert f"| {1000 * e.overhead_s:g} ms |" in _DOC
    assert f"{check.FACTOR_THROUGHPUT} for throughput" in _DOC
    assert f"{check.FACTOR_SINGLE_STREAM} for single streams" in _DOC
    assert f"{check.FACTOR_LATENCY} for latencies" in _DOC


def test_the_guides_example_is_what_the_planner_says() -> None:
    deployment = deploy(catalogue()["llama-3.1-8b"], gpus()["H100-SXM"], "fp8")
    answer = plan(
        PlannedReplica(deployment, PlannedWorkload(1000, 200)),
        PlannedSlo(0.5, 0.03),
        FleetDemand(40, price_per_gpu_hour=3),
    )
    shown = markdown(answer).removeprefix("# llama-3.1-8b on H100-SXM\n\n")
    assert shown in _DOC


@pytest.mark.parametrize("name", sorted(gpus()))
def test_the_guide_names_every_gpu(name: str) -> None:
    assert f"`{name}`" in _DOC
