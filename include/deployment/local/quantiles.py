"""Quantiles of answer times, and the interval of the ratio of two of them, with whole blocks drawn again.

Answers that follow each other share what the machine did meanwhile: drawn one by one they look like more evidence than
they are. A block holds answers of both versions, so what slowed down one slowed down the other, and a block drawn twice
is a weight of two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from include.metrics import Floats

    Whole = NDArray[np.int64]

# Enough that another seed moves a bound by far less than the interval is wide.
RESAMPLES = 2000
Blocks = Sequence[Sequence[float]]


class Ratio(NamedTuple):
    """A quantile of the candidate ÷ that of the champion; ``low`` to ``high`` is the interval."""

    observed: float
    low: float
    high: float


def measure_quantile(blocks: Blocks, quantile: float) -> float:
    """The smallest time that is not below ``quantile`` of all times; NaN when there is none, or one is not a number."""
    import numpy as np

    times = np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks]) if blocks else np.empty(0)
    if times.size == 0 or not np.isfinite(times).all():
        return math.nan
    return float(np.quantile(times, quantile, method="inverted_cdf"))


def bootstrap_ratio(
    candidate: Blocks, champion: Blocks, quantile: float, confidence: float, seed: int, resamples: int = RESAMPLES
) -> Ratio:
    """Percentile interval at ``confidence`` of candidate ÷ champion, from ``resamples`` draws of whole blocks.

    The two must have been asked in the same blocks. NaN when there are fewer than two, or a time is not a number.
    """
    import numpy as np

    observed = measure_quantile(candidate, quantile) / (measure_quantile(champion, quantile) or math.nan)
    if len(candidate) != len(champion) or len(candidate) < 2 or not math.isfinite(observed):
        return Ratio(math.nan, math.nan, math.nan)
    sorted_times = [_sort_times(blocks) for blocks in (candidate, champion)]
    random = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for number in range(resamples):
        counts = np.bincount(random.integers(0, len(candidate), len(candidate)), minlength=len(candidate))
        upper, lower = (_weigh_quantile(times, counts[block], quantile) for times, block in sorted_times)
        draws[number] = upper / lower
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Ratio(observed, float(low), float(high))


def _sort_times(blocks: Blocks) -> tuple[Floats, Whole]:
    """All times in order, and the block of each."""
    import numpy as np

    times = np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks])
    block = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    order = np.argsort(times, kind="stable")
    return times[order], block[order]


def _weigh_quantile(times: Floats, weights: Whole, quantile: float) -> float:
    """The same as ``measure_quantile``, of sorted times that count ``weights`` times."""
    import numpy as np

    reached = np.cumsum(weights)
    return float(times[np.searchsorted(reached, quantile * reached[-1])])
