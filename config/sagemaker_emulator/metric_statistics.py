"""A statistic over moto's data of one metric, percentiles included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from moto.cloudwatch.models import MetricDatum

from config.sagemaker_emulator.metrics import ValuesDatum


def compute_statistic(name: str, data: Sequence[Any]) -> float | None:
    """A statistic (Sum, Average, Minimum, Maximum, SampleCount, p99…) of moto's data; None when there is none."""
    if not data:
        return None
    sums = [datum.value if isinstance(datum, MetricDatum) else datum.sum for datum in data]
    counts = [1 if isinstance(datum, MetricDatum) else datum.sample_count for datum in data]
    if name == "Sum":
        return float(sum(sums))
    if name == "SampleCount":
        return float(sum(counts))
    if name == "Average":
        return float(sum(sums) / sum(counts))
    if name == "Minimum":
        return float(min(d.value if isinstance(d, MetricDatum) else d.min for d in data))
    if name == "Maximum":
        return float(max(d.value if isinstance(d, MetricDatum) else d.max for d in data))
    values = sorted(
        value
        for d in data
        for value in (d.values if isinstance(d, ValuesDatum) else [d.value if isinstance(d, MetricDatum) else d.max])
    )
    # The nearest rank: CloudWatch does not say how it interpolates.
    rank = math.ceil(float(name.lstrip("p")) / 100 * len(values))
    return float(values[max(0, rank - 1)])
