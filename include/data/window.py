"""Which partitions a training uses, and which of several runs gets to train on them.

Airflow starts the runs of several partitions in any order. A training always uses the full current window and holds
out the newest partition, so one training covers all that landed together; the claims say who makes it.

Who asks by hand gets a training, also of what was trained on before: the code may have changed, or the last training
failed. For an older partition that the person names it uses the window that ended there. Its candidates are then judged
on rows that a newer champion has seen in its training, so what is blessed all the same is no worse than it looks.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from include.contracts import PartitionRef, Window
from include.data.names import check_partition, landing_folder
from include.data.publish import list_partitions, list_versions
from include.declaration import Pipeline
from include.errors import RefreshMissing
from include.records import create_record, list_records, read_record
from include.settings import Settings

_CLAIM = "training"


@dataclass(frozen=True)
class Superseded:
    """Nothing to train: ``by`` is the partition whose training covers this one, ``reason`` a sentence for a person."""

    by: str
    reason: str


def digest_window(partitions: tuple[PartitionRef, ...]) -> str:
    """16 hex digits that name these exact versions of these partitions."""
    pairs = [(ref.partition, ref.version) for ref in partitions]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


def read_claims(settings: Settings, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Claims by name, oldest first: ``claimed_by``, ``key`` (newest partition), ``partitions`` (→ version), ``digest``.

    The name is the window's digest; of a repeated training by hand, the digest, "+" and a digest of who asked.
    """
    claims = list_records(settings, pipeline.name, _CLAIM)
    return {name: {**claim, "digest": name.partition("+")[0]} for name, claim in claims}


def _missing(settings: Settings, pipeline: Pipeline, partition: str, what: str) -> RefreshMissing:
    return RefreshMissing(
        f"Partition {partition} of {pipeline.name} cannot be trained on: {what}.",
        next_step="Land it, and train once it is published.",
        pipeline=pipeline.name,
        partition=partition,
        landing=str(landing_folder(settings, pipeline)),
    )


def newest_partition(settings: Settings, pipeline: Pipeline) -> str:
    """Name of the newest published partition. Raises RefreshMissing when nothing is published."""
    window = _current_window(settings, pipeline)
    if window is None:
        raise _missing(settings, pipeline, pipeline.data.first, "nothing is published yet")
    return window.key


def _current_window(settings: Settings, pipeline: Pipeline, last: str | None = None) -> Window | None:
    """The window of all that is published, or of what is not newer than the partition ``last``."""
    published = tuple(list_partitions(settings, pipeline))
    if last is not None:
        end = pipeline.data.parse_partition(last)
        published = tuple(ref for ref in published if pipeline.data.parse_partition(ref.partition) <= end)
    if not published:
        return None
    chosen = published[-pipeline.training.window :] if pipeline.training.window else published
    return Window(pipeline.name, chosen[-1].partition, chosen, digest_window(chosen))


def _claimed_window(settings: Settings, pipeline: Pipeline, claim: dict[str, Any]) -> Window:
    """The window of a claim, with the versions it named even where a partition has a newer one by now."""
    refs = []
    for partition, version in claim["partitions"].items():
        found = [ref for ref in list_versions(settings, pipeline, partition) if ref.version == version]
        if not found:
            raise _missing(
                settings, pipeline, partition, f"its version {version}, claimed by {claim['claimed_by']}, is gone"
            )
        refs.append(found[0])
    refs.sort(key=lambda ref: pipeline.data.parse_partition(ref.partition))
    return Window(pipeline.name, str(claim["key"]), tuple(refs), str(claim["digest"]))


def _find_cover(
    claims: dict[str, dict[str, Any]], window: Window, asked: PartitionRef, newest: PartitionRef
) -> Superseded | None:
    """Who trains on ``asked`` in this run's place, if anybody does or will."""
    same = claims.get(window.digest)
    if same is not None:
        return Superseded(str(same["key"]), f"already trained on exactly these versions by {same['claimed_by']}")
    if asked.partition == newest.partition:
        return None

    # A training by hand that ended at an older partition stands for no other.
    full = [claim for claim in claims.values() if not claim.get("ended_early")]
    if not any(_uses(claim, newest) for claim in full):
        return Superseded(newest.partition, f"{newest.partition} is validated and will train on all of them")
    # The latest claim only: after A, B and A again, the training that used A long ago is not the last word.
    latest = full[-1]
    if _uses(latest, asked):
        return Superseded(str(latest["key"]), f"the training of {latest['key']} by {latest['claimed_by']} used it")
    return None


def _uses(claim: dict[str, Any], ref: PartitionRef) -> bool:
    return bool(claim["partitions"].get(ref.partition) == ref.version)


def choose_window(
    settings: Settings, pipeline: Pipeline, partition: str, claimed_by: str, *, by_hand: bool = False
) -> Window | Superseded:
    """Claim the current window for the run ``claimed_by`` of ``partition``, or say whose training covers it.

    A run that has a claim gets the same window again, whatever was published since: a retry continues its training.
    Of several runs that ask for the same window at once exactly one gets it; each ``by_hand`` gets the window that ends
    with its ``partition``. Raises PartitionNameError for an unusable name, RefreshMissing (retryable) when
    ``partition`` is not published.
    """
    check_partition(pipeline, partition)
    claims = read_claims(settings, pipeline)
    for claim in claims.values():
        if claim["claimed_by"] == claimed_by:
            return _claimed_window(settings, pipeline, claim)
    published = {ref.partition: ref for ref in list_partitions(settings, pipeline)}
    window = _current_window(settings, pipeline, last=partition if by_hand else None)
    if window is None or partition not in published:
        raise _missing(settings, pipeline, partition, "it is not published")
    covered = None if by_hand else _find_cover(claims, window, published[partition], window.partitions[-1])
    if covered is not None:
        return covered
    claim = {
        "claimed_by": claimed_by,
        "key": window.key,
        "asked": partition,
        "ended_early": window.key != list(published)[-1],
        "partitions": {ref.partition: ref.version for ref in window.partitions},
    }
    if create_record(settings, pipeline.name, _CLAIM, window.digest, claim):
        return window
    winner = read_record(settings, pipeline.name, _CLAIM, window.digest) or claim
    if winner["claimed_by"] == claimed_by:
        return window
    if by_hand:
        name = f"{window.digest}+{hashlib.sha256(claimed_by.encode()).hexdigest()[:16]}"
        create_record(settings, pipeline.name, _CLAIM, name, claim)
        return window
    return Superseded(str(winner["key"]), f"already trained on exactly these versions by {winner['claimed_by']}")
