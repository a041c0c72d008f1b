"""A campaign's report: JSON with all data, plots, and one self-contained HTML file."""

from enginehouse.perf.report.write import write_campaign

__all__ = ["write_campaign"]
