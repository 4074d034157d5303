"""The picture of run time against rows: past fits, what was expected of this one, and what it took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.figures import save_figure
from include.runtime.forecast import list_points
from include.runtime.history import FitRecord

_QUANTITIES = {"cpu_seconds": "processor time, seconds", "peak_memory_mb": "peak memory, MB"}
_GRID = 40


def draw_runtime(path: Path, past: Sequence[FitRecord], record: FitRecord) -> None:
    """Write to ``path`` time and memory of the ``past`` fits (oldest first) and of ``record`` against their rows."""
    import numpy as np

    from include.runtime.scaling import learn_scaling

    def draw(both: Any) -> None:
        for axes, (quantity, label) in zip(both, _QUANTITIES.items(), strict=True):
            before, (now,) = list_points(past, quantity), list_points([record], quantity)
            scaling = learn_scaling(before, record.rows)
            if scaling is not None:
                most = 1.1 * max(point.rows for point in [*before, now])
                grid = np.linspace(0.5 * min(point.rows for point in [*before, now]), most, _GRID).astype(int)
                told = [scaling.at(max(int(rows), 1), quantity) for rows in grid]
                axes.plot(grid, [each.value for each in told], color="grey", label=f"expected ({told[0].shape})")
                low, high = [each.low for each in told], [each.high for each in told]
                axes.fill_between(grid, low, high, alpha=0.15, color="grey", linewidth=0)
                # An interval of one or two runs reaches far: the runs themselves must stay in sight.
                axes.set_ylim(0, 1.6 * max([now.value, *(point.value for point in before)]))
            axes.plot([each.rows for each in before], [each.value for each in before], "o", label="fits before")
            axes.plot([now.rows], [now.value], "*", markersize=13, color="crimson", label="this fit")
            axes.set(title=f"{record.candidate} on {record.rung}", xlabel="training rows", ylabel=label)
            axes.legend(fontsize=8)

    save_figure(path, 2, draw)
