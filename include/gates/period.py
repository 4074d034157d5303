"""The parameters that every refresh suite may use: where its partition's period starts and ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from include.declaration.models import Data
from include.errors import PartitionNameError

PERIOD_PARAMETERS = frozenset(
    {"partition", "partition_start", "partition_end", "partition_year", "partition_month", "partition_day"}
)


def compute_period_parameters(data: Data, partition: str) -> dict[str, Any]:
    """Parameters of the partition's period: ISO start (inclusive) and end (exclusive) in UTC, and the start's numbers.

    The end is the schedule's next tick. Raises PartitionNameError when the name does not fit the declared format.
    """
    from croniter import croniter  # type: ignore[import-untyped]

    try:
        start = data.parse_partition(partition).replace(tzinfo=UTC)
    except ValueError as error:
        raise PartitionNameError(
            f"Partition {partition!r} is not written as {data.partition_format}.",
            next_step="Name the file for its partition, as the declaration's partition_format says.",
            partition=partition,
        ) from error
    end: datetime = croniter(data.schedule, start).get_next(datetime)
    return {
        "partition": partition,
        "partition_start": start.isoformat(),
        "partition_end": end.isoformat(),
        "partition_year": start.year,
        "partition_month": start.month,
        "partition_day": start.day,
    }
