"""The ledger's record of what a service serves, as the local endpoint leaves it: history, page and rollback read it."""

from __future__ import annotations

from typing import Any

from include.contracts import Deployment, pack, unpack
from include.deployment.served import rebuild_pointer
from include.deployment.target import Progress
from include.records import list_records, utc_now, write_record
from include.settings import Settings

_KIND = "deployment"


def record_live(
    settings: Settings,
    pipeline_name: str,
    target: str,
    url: str,
    progress: Progress,
    partition: str,
    by: str,
    reason: str,
    left: str | None = None,
    who: str | None = None,
) -> Deployment:
    """Record that ``progress`` is live, once for as long as it is: a second try returns what the first recorded.

    ``left`` is the version that ``who`` rolled back from.
    """
    known = rebuild_pointer(settings, pipeline_name)
    if known is not None and (known.version, known.model_dir) == (progress.version, progress.place):
        for _, record in list_records(settings, pipeline_name, _KIND):
            if (record["deployed_at"], record["version"]) == (known.swapped_at, known.version):
                return unpack(Deployment, {name: record[name] for name in Deployment.__dataclass_fields__})
    at = utc_now()
    previous = left or (known.version if known is not None else progress.previous_version)
    deployment = Deployment(pipeline_name, target, progress.version, previous, partition, url, at, reason)
    facts = {"by": by, "model_dir": progress.place, "rolled_back_from": left, "who": who}
    key = f"{at.replace(':', '')}@{progress.version}"
    write_record(settings, pipeline_name, _KIND, key, {**pack(deployment), **facts})
    return deployment


def note_retired(settings: Settings, pipeline_name: str, why: str) -> None:
    """What was deployed last is served no more, and nothing in its place."""
    last = _find_last(settings, pipeline_name)
    if last is not None and not last[1].get("withdrawn_because"):
        write_record(settings, pipeline_name, _KIND, last[0], {**last[1], "withdrawn_because": why})


def is_retired(settings: Settings, pipeline_name: str) -> bool:
    """Whether somebody ended the serving on purpose, and nothing was deployed since."""
    last = _find_last(settings, pipeline_name)
    return last is not None and bool(last[1].get("withdrawn_because"))


def _find_last(settings: Settings, pipeline_name: str) -> tuple[str, dict[str, Any]] | None:
    records = list(list_records(settings, pipeline_name, _KIND))
    return records[-1] if records else None
