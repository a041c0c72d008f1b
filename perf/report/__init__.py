"""A campaign's report: JSON with everything, plots, and one HTML file that needs nothing else."""

from enginehouse.perf.report.write import write_campaign

__all__ = ["write_campaign"]
