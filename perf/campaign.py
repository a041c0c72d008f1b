"""Runs every level of a profile several times, interleaved, and collects the report's data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from enginehouse.perf.drivers import Driver
from enginehouse.perf.loads import load_of, warm_up_of
from enginehouse.perf.measurement import Figures, RequestRecord, figures_of
from enginehouse.perf.profile import EntryPoint, Profile
from enginehouse.perf.prompts import PromptMaker
from pydantic import BaseModel

from enginehouse.host import HostFingerprint, host_fingerprint, package_version

_PACKAGES = ("enginehouse", "openvino-genai", "nvidia-pytriton", "fastapi", "grpcio")

Report = Callable[[str], None]


class Spread(BaseModel):
    """The distribution of one figure over the repeats.

    Attributes:
        noise: (largest - least) / median. Smaller differences between runs are not significant.
    """

    median: float
    least: float
    largest: float
    noise: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Compute the spread from one value for each repeat."""
        middle = median(values)
        noise = (max(values) - min(values)) / middle if middle else 0.0
        return cls(
            median=round(middle, 3),
            least=min(values),
            largest=max(values),
            noise=round(noise, 4),
        )


class Sample(BaseModel):
    """One request, for plots; `sent_s` is seconds after the start of the run."""

    sent_s: float
    ttft_ms: float | None
    inter_token_ms: float | None
    total_ms: float | None
    tokens: int
    error: str | None


class CampaignRun(BaseModel):
    """One run at one load.

    Attributes:
        began_s: seconds after the start of the campaign.
        token_times_s: arrival times of responses, in seconds after the start of the run.
        details: figures that the driver printed.
    """

    repeat: int
    began_s: float
    figures: Figures
    samples: list[Sample]
    token_times_s: list[float]
    details: dict[str, Any]


class CampaignLevel(BaseModel):
    """All runs at one load."""

    level: float
    runs: list[CampaignRun]
    spread: dict[str, Spread]


class CampaignReport(BaseModel):
    """All data of a campaign, which `report` shows and MLflow stores.

    Attributes:
        settings: engine settings of the measured version.
    """

    measured_at: datetime
    host: HostFingerprint
    versions: dict[str, str]
    profile: Profile
    entry_point: EntryPoint
    driver: str
    driver_version: str
    model: str
    version: int
    settings: dict[str, Any]
    levels: list[CampaignLevel]


def measured_versions() -> dict[str, str]:
    """Versions of the packages that a figure depends on."""
    return {package: package_version(package) for package in _PACKAGES}


def figures_by_name(figures: Figures) -> dict[str, float]:
    """The figures for which a spread is computed; the names contain the units."""
    found = {
        "tokens_per_s": figures.tokens_per_s,
        "requests_per_s": figures.requests_per_s,
        "ttft_p50_ms": figures.ttft.p50,
        "ttft_p95_ms": figures.ttft.p95,
        "inter_token_p50_ms": figures.inter_token.p50,
        "inter_token_p95_ms": figures.inter_token.p95,
        "total_p50_ms": figures.total.p50,
        "total_p95_ms": figures.total.p95,
    }
    if figures.goodput_per_s is not None:
        found["goodput_per_s"] = figures.goodput_per_s
    return found


@dataclass(frozen=True, slots=True)
class Subject:
    """The measured version.

    Attributes:
        entry_point: the entry point that is measured.
        version: version that answers.
        settings: its engine settings.
    """

    entry_point: EntryPoint
    model: str
    version: int
    settings: dict[str, Any]


def run_campaign(
    profile: Profile,
    driver: Driver,
    maker: PromptMaker,
    subject: Subject,
    *,
    repeats: int,
    report: Report,
) -> CampaignReport:
    """Run all levels `repeats` times.

    Levels are interleaved, so that a drift of the machine's speed affects all of them alike.

    Raises:
        ServingError: if a run has no measurement.
    """
    runs: dict[float, list[CampaignRun]] = {level: [] for level in profile.levels}
    if profile.warm_up:
        report(f"warming up: {profile.warm_up} requests")
        driver.run(warm_up_of(profile, maker))
    began = datetime.now(UTC)
    for repeat in range(repeats):
        for level in profile.levels:
            report(f"repeat {repeat + 1} of {repeats}: {_named(profile, level)}")
            load = load_of(profile, maker, level, f"{began.timestamp()} {repeat} {level}")
            at = (datetime.now(UTC) - began).total_seconds()
            ran = driver.run(load)
            figures = figures_of(ran.records, profile.slo)
            runs[level].append(_run(repeat, at, figures, ran.records, dict(ran.details)))
    return CampaignReport(
        measured_at=began,
        host=host_fingerprint(with_gpus=True),
        versions=measured_versions(),
        profile=profile,
        entry_point=subject.entry_point,
        driver=driver.name,
        driver_version=driver.version,
        model=subject.model,
        version=subject.version,
        settings=subject.settings,
        levels=[
            CampaignLevel(level=level, runs=found, spread=_spread(found))
            for level, found in runs.items()
        ],
    )


def _named(profile: Profile, level: float) -> str:
    unit = {"concurrency": "streams", "request_rate": "requests/s", "bursts": "at once"}
    return f"{level:g} {unit[profile.load.kind]}"


def _run(
    repeat: int,
    began_s: float,
    figures: Figures,
    records: Sequence[RequestRecord],
    details: dict[str, Any],
) -> CampaignRun:
    times = [
        round(record.sent_s + moment, 4)
        for record in records
        if record.trace is not None
        for moment in record.trace.arrivals_s
    ]
    return CampaignRun(
        repeat=repeat,
        began_s=round(began_s, 3),
        figures=figures,
        samples=[_sample(record) for record in records],
        token_times_s=sorted(times),
        details=details,
    )


def _sample(record: RequestRecord) -> Sample:
    trace = record.trace
    return Sample(
        sent_s=round(record.sent_s, 4),
        ttft_ms=round(1000 * trace.first_s, 3) if trace else None,
        inter_token_ms=round(1000 * trace.inter_token_s, 3) if trace else None,
        total_ms=round(1000 * trace.arrivals_s[-1], 3) if trace else None,
        tokens=trace.tokens if trace else 0,
        error=record.error,
    )


def _spread(runs: Sequence[CampaignRun]) -> dict[str, Spread]:
    named = [figures_by_name(run.figures) for run in runs]
    return {key: Spread.of([one[key] for one in named]) for key in named[0]}
