"""A picture of what the answers took: one distribution for each version, with its quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.contracts import LatencyReport
from include.deployment.local.quantiles import Blocks
from include.figures import save_figure

_BINS = 60
_COLOURS = ("tab:blue", "tab:grey")
_LINES = (("p50", "-"), ("p95", "--"), ("p99", ":"))


def draw_latency(path: Path, report: LatencyReport, times: Mapping[str, Blocks]) -> None:
    """Write the picture to ``path``: the candidate and the champion, if any; an empty one where nothing answered."""
    import numpy as np

    shown = [figures for figures in (report.candidate, report.champion) if figures is not None and figures.requests]
    flat = {each.version: np.concatenate([np.asarray(block) for block in times[each.version]]) for each in shown}
    # The slowest few would press everything else into one bar; they count in the last one.
    end = max((1.3 * each.p99_ms for each in shown), default=1.0)
    start = min((float(values.min()) for values in flat.values()), default=0.0)
    bins = np.linspace(start, max(end, start + 1e-3), _BINS)

    def draw(axes: Any) -> None:
        for each, colour in zip(shown, _COLOURS, strict=False):
            clipped = np.minimum(flat[each.version], bins[-1])
            label = f"version {each.version} ({each.scoring_path})"
            axes.hist(clipped, bins=bins, histtype="stepfilled", alpha=0.4, color=colour, label=label)
            for name, style in _LINES:
                value = getattr(each, f"{name}_ms")
                axes.axvline(value, color=colour, linestyle=style, linewidth=1, label=f"{name} {value:.2f} ms")
        title = f"Latency of version {report.version}: {'passed' if report.passed else 'refused'}"
        axes.set(title=title, xlabel=f"ms for {report.rows} rows, {report.concurrency} callers", ylabel="answers")
        if shown:
            axes.legend(fontsize=7)

    save_figure(path, 1, draw)
