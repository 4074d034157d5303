"""The two predictions files that a blessing compares: the same rows, in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN

if TYPE_CHECKING:
    import pandas as pd

    from include.metrics import Floats


@dataclass(frozen=True)
class ScoredRows:
    """One model's holdout: labels 0.0 or 1.0, its scores, each row's ISO date, and the request columns."""

    labels: Floats
    scores: Floats
    days: pd.Series[str]
    requests: pd.DataFrame


def read_scored_rows(path: str) -> ScoredRows:
    """Read a predictions file. Raises FileNotFoundError, or KeyError for a missing column."""
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(path)
    return ScoredRows(
        labels=frame[LABEL_COLUMN].to_numpy(dtype=np.float64),
        scores=frame[PREDICTION_COLUMN].to_numpy(dtype=np.float64, na_value=np.nan),
        days=frame[DAY_COLUMN],
        requests=frame.drop(columns=[LABEL_COLUMN, PREDICTION_COLUMN, DAY_COLUMN]),
    )


def find_difference(candidate: ScoredRows, champion: ScoredRows) -> str | None:
    """What shows that the two are not the same rows in the same order; None when nothing does."""
    if len(candidate.labels) != len(champion.labels):
        return f"{len(candidate.labels)} rows of the candidate, {len(champion.labels)} of the champion"
    if list(candidate.days) != list(champion.days):
        return "the days of the rows differ"
    if (candidate.labels != champion.labels).any():
        return f"{int((candidate.labels != champion.labels).sum())} labels differ"
    return None
