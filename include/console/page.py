"""The overview as one HTML page: no script, nothing loaded from elsewhere, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from include.console.icon import ICON
from include.describe import format_number

# More points than this would write over each other.
_MAX_POINTS = 16
# The page's plot is 1000 wide; values lie between these heights, the partitions' names below.
_TOP, _BOTTOM = 30.0, 92.0


def _format_time(stamp: str | None) -> str:
    return stamp[:16].replace("T", " ") if stamp else "–"


def _format_age(stamp: str, now: str) -> str:
    """How long ago, in the largest unit of which there are two or more."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(stamp)).total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _format_count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _make_local(url: str, overview: Mapping[str, Any]) -> str:
    """A page of Airflow's, from where this page is: a browser that came by another name stays logged in."""
    root = f"{overview['airflow_url']}/"
    return f"../{url.removeprefix(root)}" if url.startswith(root) else url


def _plot_metric(pipeline: Mapping[str, Any]) -> dict[str, Any] | None:
    """Coordinates of the primary metric of each judged model, in the order of the verdicts; None below two."""
    metric = pipeline["primary_metric"]
    judged = [(row, dict(row["metrics"]).get(metric)) for row in pipeline["history"]]
    found = [(row, value) for row, value in judged if value is not None and value == value][-_MAX_POINTS:]
    if len(found) < 2:
        return None
    low, high = min(value for _, value in found), max(value for _, value in found)
    points = []
    for position, (row, value) in enumerate(found):
        height = (value - low) / (high - low) if high > low else 0.5
        points.append(
            {
                "x": round(40 + 920 * position / (len(found) - 1), 1),
                "y": round(_BOTTOM - (_BOTTOM - _TOP) * height, 1),
                "value": f"{value:.3f}",
                "partition": row["partition"],
                "outcome": row["outcome"],
            }
        )
    told = ", ".join(f"{point['partition']} {point['value']} {point['outcome']}" for point in points)
    return {
        "points": points,
        "line": " ".join(f"{point['x']},{point['y']}" for point in points),
        "label": f"{metric}: {told}",
    }


def _order_metrics(pipeline: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Metrics of what is served, the one that decides first."""
    metrics = dict(pipeline["served"]["metrics"])
    primary = pipeline["primary_metric"]
    return [(name, metrics[name]) for name in sorted(metrics, key=lambda name: (name != primary, name))]


def render_page(overview: Mapping[str, Any]) -> str:
    """Return the page for what ``read_overview`` gave."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "time": _format_time,
        "age": _format_age,
        "count": _format_count,
        "number": format_number,
        "local": _make_local,
        "plot": _plot_metric,
        "metrics": _order_metrics,
    }
    template = Path(__file__).with_name("page.html").read_text()
    return environment.from_string(template).render(o=overview, dict=dict, icon=ICON)
