"""Another model on the same rows: how the champion would have done on a candidate's holdout."""

from __future__ import annotations

from pathlib import Path

from include.contracts import TrainingSet
from include.scoring.scorer import load_scorer
from include.training.evaluate import write_predictions


def score_holdout(training_set: TrainingSet, model_dir: Path, name: str) -> str:
    """Score the holdout with the model in ``model_dir``; return the predictions file's path, named for ``name``.

    Raises UnsafeModel when the model file is not one of ours.
    """
    path = Path(training_set.folder) / "predictions" / f"{name}.parquet"
    write_predictions(training_set, load_scorer(model_dir), path)
    return str(path)
