"""The holdout's figures of one candidate. A figure without a value stays NaN, so that nothing later passes it by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN, TrainingSet
from include.metrics import measure_all

if TYPE_CHECKING:
    import pandas as pd

    from include.metrics import Floats
    from include.scoring.scorer import Scorer

NOT_REQUESTED = (LABEL_COLUMN, DAY_COLUMN, PREDICTION_COLUMN)


def read_rows(training_set: TrainingSet, part: str) -> tuple[pd.DataFrame, Floats, pd.Series[str]]:
    """Requests, labels and days (ISO dates) of ``part`` ("train" or "holdout"), in original order."""
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(Path(training_set.folder) / f"{part}.parquet")
    requests = frame.drop(columns=[name for name in NOT_REQUESTED if name in frame.columns])
    return requests, frame[LABEL_COLUMN].to_numpy(dtype=np.float64), frame[DAY_COLUMN]


def evaluate_predictions(labels: Floats, predictions: Floats) -> dict[str, float]:
    """Every metric of include.metrics on these rows."""
    return measure_all(labels, predictions)


def write_predictions(training_set: TrainingSet, scorer: Scorer, path: Path) -> tuple[Floats, Floats]:
    """Score the holdout, write ``path`` (request columns, label, day, prediction; atomically), return labels, scores.

    The order of the rows is the holdout's, so that two such files can be compared row by row.
    """
    import numpy as np

    requests, labels, days = read_rows(training_set, "holdout")
    predictions = np.asarray(scorer.predict(requests), dtype=np.float64)
    frame = requests.copy()
    frame[LABEL_COLUMN], frame[DAY_COLUMN], frame[PREDICTION_COLUMN] = labels, days, predictions
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    frame.to_parquet(draft, index=False)
    draft.replace(path)
    return labels, predictions
