"""Pictures of one candidate on its holdout, drawn without a display and cheap enough for every fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.figures import save_figure
from include.metrics import measure_metric

if TYPE_CHECKING:
    import pandas as pd

    from include.metrics import Floats
    from include.scoring.scorer import Scorer

_POINTS = 400
_IMPORTANCE_ROWS = 2000


def _thin(values: Floats) -> Floats:
    import numpy as np

    kept: Floats = values[np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).astype(int))]
    return kept


def _draw_curves(labels: Floats, scores: Floats) -> Callable[[Any], None]:
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(labels[order])[last_of_tie]
    taken = np.flatnonzero(last_of_tie) + 1.0
    positives, negatives = labels.sum(), len(labels) - labels.sum()

    def draw(axes: Any) -> None:
        auc = measure_metric("roc_auc", labels, scores)
        precision = measure_metric("average_precision", labels, scores)
        left, right = axes
        left.plot(_thin((taken - hits) / max(negatives, 1)), _thin(hits / max(positives, 1)))
        left.plot([0, 1], [0, 1], linestyle=":", color="grey")
        left.set(title=f"ROC AUC {auc:.4f}", xlabel="false positive rate", ylabel="true positive rate")
        right.plot(_thin(hits / max(positives, 1)), _thin(hits / taken))
        right.set(
            title=f"Precision and recall, AP {precision:.4f}", xlabel="recall", ylabel="precision", ylim=(0, 1.02)
        )

    return draw


def _draw_calibration(labels: Floats, scores: Floats) -> Callable[[Any], None]:
    import numpy as np

    def draw(axes: Any) -> None:
        groups = np.array_split(np.argsort(scores, kind="stable"), min(10, len(scores)))
        axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
        axes.plot([scores[g].mean() for g in groups], [labels[g].mean() for g in groups], marker="o")
        axes.set(title="Calibration, tenths of the rows", xlabel="mean prediction", ylabel="share of positives")

    return draw


def _draw_confusion(labels: Floats, scores: Floats) -> Callable[[Any], None]:
    import numpy as np

    said = scores >= 0.5
    counts = np.array([[np.sum((labels == t) & (said == p)) for p in (False, True)] for t in (0.0, 1.0)])

    def draw(axes: Any) -> None:
        axes.imshow(counts, cmap="Blues")
        for row in range(2):
            for column in range(2):
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center")
        axes.set(title="Confusion at 0.5", xlabel="predicted", ylabel="actual", xticks=[0, 1], yticks=[0, 1])

    return draw


def measure_importance(scorer: Scorer, requests: pd.DataFrame, labels: Floats, seed: int) -> dict[str, float]:
    """Loss of ROC AUC when one request column is shuffled, on at most 2000 rows drawn with ``seed``; largest first."""
    import numpy as np

    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(requests))[:_IMPORTANCE_ROWS])
    sample, known = requests.iloc[chosen].reset_index(drop=True), labels[chosen]
    whole = measure_metric("roc_auc", known, scorer.predict(sample))
    losses = {}
    for name in sample.columns:
        shuffled = sample.copy()
        shuffled[name] = sample[name].to_numpy()[random.permutation(len(sample))]
        losses[str(name)] = whole - measure_metric("roc_auc", known, scorer.predict(shuffled))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _draw_importance(losses: dict[str, float]) -> Callable[[Any], None]:
    shown = list(losses.items())[:15][::-1]

    def draw(axes: Any) -> None:
        axes.barh([name for name, _ in shown], [loss for _, loss in shown])
        axes.set(title="AUC lost when a column is shuffled", xlabel="loss of ROC AUC")

    return draw


def draw_plots(folder: Path, labels: Floats, scores: Floats, importance: dict[str, float]) -> list[str]:
    """Write the pictures to ``folder`` and return their names; none when a score is not a number."""
    import numpy as np

    if len(labels) == 0 or not np.isfinite(scores).all():
        return []
    drawings: dict[str, tuple[int, Callable[[Any], None]]] = {
        "curves.png": (2, _draw_curves(labels, scores)),
        "calibration.png": (1, _draw_calibration(labels, scores)),
        "confusion.png": (1, _draw_confusion(labels, scores)),
        "importance.png": (1, _draw_importance(importance)),
    }
    for name, (columns, draw) in drawings.items():
        save_figure(folder / name, columns, draw)
    return list(drawings)
