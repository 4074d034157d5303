"""How many rows a DAG run works on, by the records that it has written so far."""

from __future__ import annotations

from include.records import list_records
from include.settings import Settings


def count_rows(settings: Settings, pipeline: str, stage: str, run_id: str) -> int:
    """Rows of what a refresh's run took in, or of the partitions that a training's run uses; 0 when not known."""
    if stage == "data_refresh":
        refreshes = [record for _, record in list_records(settings, pipeline, "refresh")]
        return sum(int(record.get("rows") or 0) for record in refreshes if record.get("run_id") == run_id)
    if stage != "train_model":
        return 0
    claimed_by = f"{pipeline}.{stage}/{run_id}"
    claims = [claim for _, claim in list_records(settings, pipeline, "training") if claim["claimed_by"] == claimed_by]
    if not claims:
        return 0
    used = claims[-1]["partitions"]
    rows = {
        (record["partition"], record.get("version")): int(record.get("rows") or 0)
        for _, record in list_records(settings, pipeline, "refresh")
    }
    return sum(rows.get((partition, version), 0) for partition, version in used.items())
