"""Which run takes which arrival: exclusive claims, because several runs may wake up for the same files.

A claim of a run that is over is lifted while its file is still pending, so that another run takes it. That happens
twice for a file, the second time an hour after the first: three runs of four tries each outlast a restart and a full
disk that somebody empties, and a fault that lasts longer is a person's, who has a mail of each failed run. What such a
run left is taken by clearing it, or by a run by hand, which asks for no claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from include.contracts import Arrival
from include.data.landing import Look, find_arrivals, look_for_arrivals
from include.data.names import identify_arrival
from include.declaration import Pipeline
from include.records import create_record, read_record, utc_now, write_record
from include.settings import Settings

_CLAIM = "claim"
# How old the first claim of a file has to be before it is lifted, and the second; the third stays.
LIFT_AFTER = (timedelta(minutes=5), timedelta(hours=1))


def _name_claim(arrival: Arrival, number: int) -> str:
    return f"{identify_arrival(arrival)}+{number}"


def _find_claim(settings: Settings, pipeline: Pipeline, arrival: Arrival) -> tuple[int, dict[str, Any] | None]:
    """The claim that holds the arrival, or None, and the number that it has or would get."""
    number = 1
    while True:
        claim = read_record(settings, pipeline.name, _CLAIM, _name_claim(arrival, number))
        if claim is None or "lifted_at" not in claim:
            return number, claim
        number += 1


def look_for_unclaimed(settings: Settings, pipeline: Pipeline) -> Look:
    """Every pending arrival that no run has claimed, and when the next may be complete."""
    look = look_for_arrivals(settings, pipeline)
    unclaimed = [arrival for arrival in look.arrivals if _find_claim(settings, pipeline, arrival)[1] is None]
    return replace(look, arrivals=unclaimed)


def claim_arrivals(settings: Settings, pipeline: Pipeline, claimed_by: str) -> list[Arrival]:
    """Every pending arrival that no other run has claimed, claimed for ``claimed_by``; its own again on a retry.

    Several runs may start at once, and one wake-up may stand for several arrivals (Airflow drops an asset event that
    comes while a run for an earlier one is being made): each run therefore takes all that is pending, and the claim,
    made exclusively, keeps two runs from taking the same file.
    """
    claimed = []
    for arrival in find_arrivals(settings, pipeline):
        number, held = _find_claim(settings, pipeline, arrival)
        if held is None:
            name = _name_claim(arrival, number)
            payload = {"claimed_by": claimed_by, "path": arrival.path}
            made = create_record(settings, pipeline.name, _CLAIM, name, payload)
            held = payload if made else read_record(settings, pipeline.name, _CLAIM, name)
        if held is not None and held["claimed_by"] == claimed_by:
            claimed.append(arrival)
    return claimed


def lift_claims(
    settings: Settings, pipeline: Pipeline, is_alive: Callable[[str], bool]
) -> tuple[list[Arrival], list[Arrival]]:
    """Lift the claims that runs which are over hold on pending arrivals.

    Returns the arrivals that are free again, and those that were tried as often as they are tried by themselves.
    """
    lifted, left = [], []
    for arrival in find_arrivals(settings, pipeline):
        number, claim = _find_claim(settings, pipeline, arrival)
        if claim is None or is_alive(claim["claimed_by"]):
            continue
        if number > len(LIFT_AFTER):
            left.append(arrival)
        elif datetime.now(UTC) - datetime.fromisoformat(claim["recorded_at"]) >= LIFT_AFTER[number - 1]:
            # Only this writes to a claim that is there, and one housekeeping runs at a time.
            write_record(
                settings, pipeline.name, _CLAIM, _name_claim(arrival, number), {**claim, "lifted_at": utc_now()}
            )
            lifted.append(arrival)
    return lifted, left
