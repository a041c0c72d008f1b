"""Writes the files of a campaign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enginehouse.perf.campaign import CampaignReport
from enginehouse.perf.report.page import page
from enginehouse.perf.report.plots import PLOTS
from enginehouse.perf.report.text import markdown


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The paths of a written report, and its Markdown."""

    folder: Path
    page: Path
    text: str


def write_campaign(report: CampaignReport, reports_dir: Path) -> WrittenReport:
    """Write JSON, Markdown, PNG plots and the HTML page into a new folder.

    Raises:
        OSError: if they cannot be written.
    """
    moment = report.measured_at.strftime("%Y%m%d-%H%M%S")
    name = f"{report.profile.name}-{report.entry_point}-{report.model}-{report.version}-{moment}"
    folder = reports_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    plots = {plot: draw(report) for plot, draw in PLOTS.items()}
    for plot, image in plots.items():
        (folder / f"{plot}.png").write_bytes(image)
    text = markdown(report)
    (folder / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    (folder / "report.md").write_text(text, encoding="utf-8")
    html = folder / "report.html"
    html.write_text(page(report, plots), encoding="utf-8")
    return WrittenReport(folder, html, text)
