"""Pictures drawn without a display: what is shown is the caller's, how it becomes a file is here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def save_figure(path: Path, columns: int, draw: Callable[..., None]) -> None:
    """Write to ``path`` what ``draw`` draws on ``columns`` axes side by side; of one, it is given that itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: it keeps global state and picks a display.
    figure = Figure(figsize=(4.5 * columns, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns)
    draw(axes)
    figure.savefig(path, dpi=90)
