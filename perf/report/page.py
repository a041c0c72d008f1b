"""Renders a self-contained HTML file with tables and plots."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from enginehouse.perf.campaign import CampaignReport
from enginehouse.perf.report.text import circumstances, header, rows
from jinja2 import Environment, StrictUndefined

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 62rem;
        margin: 2rem auto; padding: 0 1rem; }
 h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
 table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
 th, td { padding: .3rem .5rem; border-bottom: 1px solid #dde3ea; text-align: right; }
 th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
 dl { display: grid; grid-template-columns: 9rem 1fr; gap: .2rem 1rem; }
 dt { color: #5b6875; } dd { margin: 0; overflow-wrap: anywhere; }
 img { max-width: 100%; } .wide { overflow-x: auto; }
</style>
<h1>{{ title }}</h1>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
<h2>Figures</h2>
<div class="wide"><table>
<thead><tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p>Medians of {{ repeats }} repeats, each with other prompts; noise is (largest - least) / median
of tokens/s.</p>
{% for name, image in plots.items() %}
<h2>{{ name }}</h2><img alt="{{ name }}" src="data:image/png;base64,{{ image }}">
{% endfor %}
</html>
"""
_TITLES = {
    "latency-throughput": "Latency against throughput",
    "distributions": "Distributions",
    "timeline": "Timeline",
}


def page(report: CampaignReport, plots: Mapping[str, bytes]) -> str:
    """The HTML page; `plots` are PNG bytes by name."""
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
    return template.render(
        title=f"{report.profile.name}: {report.model} version {report.version}",
        facts=circumstances(report),
        header=header(report),
        rows=rows(report),
        repeats=len(report.levels[0].runs),
        plots={
            _TITLES.get(name, name): base64.b64encode(image).decode()
            for name, image in plots.items()
        },
    )
