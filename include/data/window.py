"""Which partitions a training uses, and which of several runs gets to train on them.

Airflow starts the runs of several partitions in any order. A training always uses the full current window and holds
out the newest partition, so one training covers all that landed together; the claims say who makes it.

Who asks by hand gets a training, also of what was trained on before: the code may have changed, or the last training
failed. For an older partition that the person names it uses the window that ended there. Its candidates are then judged
on rows that a newer champion has seen in its training, so what is blessed all the same is no worse than it looks.

Everybody else gets one unless the last word on the full window is a training of these very versions: after A, B and A
again, customers would keep a model of the withdrawn B. A training that was stopped covers only the runs that stood in
line with it: one that is asked for later may find its cause mended.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from include.contracts import PartitionRef, Window
from include.data.names import check_partition, landing_folder
from include.data.publish import list_partitions, list_versions
from include.data.trainings import CLAIM, lift_stop, read_claims
from include.declaration import Pipeline
from include.errors import RefreshMissing
from include.records import create_record, read_record
from include.settings import Settings


@dataclass(frozen=True)
class Superseded:
    """Nothing to train: ``by`` is the partition whose training covers this one, ``reason`` a sentence for a person."""

    by: str
    reason: str


def digest_window(partitions: tuple[PartitionRef, ...]) -> str:
    """16 hex digits that name these exact versions of these partitions."""
    pairs = [(ref.partition, ref.version) for ref in partitions]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]


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
    claims: dict[str, dict[str, Any]],
    window: Window,
    asked: PartitionRef,
    newest: PartitionRef,
    asked_at: datetime | None,
) -> Superseded | None:
    """Who trains on ``asked`` in this run's place, if anybody does or will."""
    # A training by hand that ended at an older partition stands for no other.
    full = [claim for claim in claims.values() if not claim.get("ended_early")]
    # The latest claims only: after A, B and A again, the training that used A long ago is not the last word.
    same = list(takewhile(lambda claim: claim["digest"] == window.digest, reversed(full)))
    for claim in same:
        if claim["stop"] is None:
            return Superseded(str(claim["key"]), f"already trained on exactly these versions by {claim['claimed_by']}")
    if same:
        return _stand_in_line(same[0], asked_at)
    if asked.partition == newest.partition:
        return None
    if not any(_uses(claim, newest) for claim in full):
        return Superseded(newest.partition, f"{newest.partition} is validated and will train on all of them")
    latest = full[-1]
    if _uses(latest, asked):
        return Superseded(str(latest["key"]), f"the training of {latest['key']} by {latest['claimed_by']} used it")
    return None


def _stand_in_line(claim: dict[str, Any], asked_at: datetime | None) -> Superseded | None:
    """Every training of the window was stopped, last that of ``claim``. What landed together would else fail, and be
    mailed, once for each partition."""
    stop = claim["stop"]
    if asked_at is None or asked_at > datetime.fromisoformat(stop["recorded_at"]):
        return None
    told = f"its training by {claim['claimed_by']} was stopped ({stop['reason'].rstrip('.')}); trigger one to try again"
    return Superseded(str(claim["key"]), told)


def _uses(claim: dict[str, Any], ref: PartitionRef) -> bool:
    return bool(claim["partitions"].get(ref.partition) == ref.version)


def _name_again(digest: str, what_for: str) -> str:
    return f"{digest}+{hashlib.sha256(what_for.encode()).hexdigest()[:16]}"


def choose_window(
    settings: Settings,
    pipeline: Pipeline,
    partition: str,
    claimed_by: str,
    *,
    by_hand: bool = False,
    asked_at: datetime | None = None,
) -> Window | Superseded:
    """Claim the current window for the run ``claimed_by`` of ``partition``, or say whose training covers it.

    A run that has a claim gets the same window again, whatever was published since: a retry continues its training.
    Of several runs that ask for the same window at once exactly one gets it; each ``by_hand`` gets the window that ends
    with its ``partition``. A run ``asked_at`` a time before a training of its window was stopped does not repeat that.
    Raises PartitionNameError for an unusable name, RefreshMissing (retryable) when ``partition`` is not published.
    """
    check_partition(pipeline, partition)
    claims = read_claims(settings, pipeline.name)
    for claim in claims.values():
        if claim["claimed_by"] == claimed_by:
            lift_stop(settings, pipeline.name, claimed_by)
            return _claimed_window(settings, pipeline, claim)
    published = {ref.partition: ref for ref in list_partitions(settings, pipeline)}
    window = _current_window(settings, pipeline, last=partition if by_hand else None)
    if window is None or partition not in published:
        raise _missing(settings, pipeline, partition, "it is not published")
    newest = window.partitions[-1]
    covered = None if by_hand else _find_cover(claims, window, published[partition], newest, asked_at)
    if covered is not None:
        return covered
    claim = {
        "claimed_by": claimed_by,
        "key": window.key,
        "asked": partition,
        "ended_early": window.key != list(published)[-1],
        "partitions": {ref.partition: ref.version for ref in window.partitions},
    }
    # Named after the claim that it follows, so that of several runs still exactly one gets it.
    before = [name for name, known in claims.items() if known["digest"] == window.digest]
    name = _name_again(window.digest, before[-1]) if before and not by_hand else window.digest
    if create_record(settings, pipeline.name, CLAIM, name, claim):
        return window
    winner = read_record(settings, pipeline.name, CLAIM, name) or claim
    if winner["claimed_by"] == claimed_by:
        return window
    if by_hand:
        create_record(settings, pipeline.name, CLAIM, _name_again(window.digest, claimed_by), claim)
        return window
    return Superseded(str(winner["key"]), f"already trained on exactly these versions by {winner['claimed_by']}")
