"""What SageMaker measures of every invocation, put into moto's CloudWatch.

Each metric is there twice: for the endpoint's variant as a whole, and for the endpoint configuration that answered
(dimension EndpointConfigName), so that an alarm can look at the new fleet alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import datetime

from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatumBase, cloudwatch_backends
from moto.core.utils import utcnow

from config.sagemaker_emulator.clock import Clock

NAMESPACE = "AWS/SageMaker"
_SECONDS = 0.05
_UNITS = {"ModelLatency": "Microseconds", "OverheadLatency": "Microseconds"}


class ValuesDatum(MetricAggregatedDatum):
    """Several values of one metric in one datum of moto's, which knows their sum but not their percentiles."""

    def __init__(self, name: str, values: list[float], dimensions: list[dict[str, str]], moment: datetime) -> None:
        super().__init__(
            NAMESPACE, name, min(values), max(values), len(values), sum(values), dimensions, moment, _UNITS.get(name)
        )
        self.values = values

    def filter(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: list[dict[str, str]],
        already_present_metrics: list[MetricDatumBase] | None = None,
    ) -> bool:
        """As moto asks it; but GetMetricStatistics, which names no metrics already present, wants exactly its
        dimensions: moto would count what has one more as well, and so everything twice."""
        if already_present_metrics is None and len(dimensions) != len(self.dimensions):
            return False
        return super().filter(namespace, name, dimensions, already_present_metrics)


_Key = tuple[str, str, tuple[tuple[str, str], ...], str]


class MetricRecorder:
    """Collects values and gives them to CloudWatch several times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[_Key, list[float]] = defaultdict(list)

    def record(self, account: str, region: str, dimensions: dict[str, str], values: dict[str, float]) -> None:
        """Add one value to each metric in ``values``."""
        pairs = tuple(dimensions.items())
        with self._lock:
            for name, value in values.items():
                self._values[account, region, pairs, name].append(value)

    def flush(self) -> None:
        """Give to CloudWatch what was collected."""
        with self._lock:
            collected, self._values = self._values, defaultdict(list)
        moment = utcnow()  # moto compares it with times of its own kind
        for (account, region, pairs, name), values in collected.items():
            dimensions = [{"Name": key, "Value": value} for key, value in pairs]
            cloudwatch_backends[account][region].metric_data.append(ValuesDatum(name, values, dimensions, moment))

    def run(self) -> None:
        """Flush until the emulator stops."""
        while not self._clock.is_stopped:
            self.flush()
            self._clock.wait_real(_SECONDS)
        self.flush()


def record_invocation(
    recorder: MetricRecorder,
    account: str,
    region: str,
    names: tuple[str, str, str],
    status: int,
    model_seconds: float,
    overhead_seconds: float,
) -> None:
    """One answered request of ``names`` (endpoint, variant, endpoint configuration)."""
    endpoint, variant, config = names
    values = {
        "Invocations": 1.0,
        # Zeros too: their average is the error rate.
        "Invocation4XXErrors": float(400 <= status < 500),
        "Invocation5XXErrors": float(status >= 500),
        "InvocationModelErrors": float(status >= 400),
        "ModelLatency": model_seconds * 1e6,
        "OverheadLatency": overhead_seconds * 1e6,
    }
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    recorder.record(account, region, dimensions, values)
    recorder.record(account, region, {**dimensions, "EndpointConfigName": config}, values)
