"""The rows that a search measures its trials on: the newest days of the training rows, never the holdout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.errors import TrainingDataInvalid
from include.training.split import MIN_ROWS


def cut_newest_days(candidate: str, days: pd.Series[str], labels: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """True for the rows of the newest days that together have at least ``share`` of all rows; whole days, so that what
    happened on one day is on one side. ``days`` are ISO dates, one a row.

    Raises TrainingDataInvalid when either side is then too small or holds only one class.
    """
    codes, names = pd.factorize(days, sort=True)
    newest_first = np.cumsum(np.bincount(codes, minlength=len(names))[::-1])
    wanted = int(np.searchsorted(newest_first, share * len(codes))) + 1
    newer: NDArray[np.bool_] = codes >= len(names) - wanted
    for part, chosen in (("older rows, to fit on", ~newer), ("newest rows, to measure on", newer)):
        found = labels[chosen]
        if len(found) < MIN_ROWS or len(np.unique(found)) < 2:
            raise TrainingDataInvalid(
                f"The search of {candidate!r} cannot be made: of {len(codes):,} training rows of {len(names)} days, "
                f"the {part}, are {len(found)} of {len(np.unique(found))} classes; {MIN_ROWS} of both are needed.",
                next_step="Change the search's validation_share, or land more partitions.",
                measure="validation",
                candidate=candidate,
                days=len(names),
            )
    return newer
