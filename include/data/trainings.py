"""Claims of trainings: which run trains on which versions, and which of them ended without a verdict.

A claim is never taken back. What ended without a verdict (blocked features, bad labels, retries used up, a dead run)
is *stopped*: a record under the claim's name, which the same run lifts when it is cleared and works on its claim again.
"""

from __future__ import annotations

from typing import Any

from include.links import link_run
from include.records import list_records, utc_now, write_record
from include.settings import Settings

CLAIM, _STOPPED = "training", "stopped"


def read_claims(settings: Settings, pipeline_name: str) -> dict[str, dict[str, Any]]:
    """Claims by name, oldest first: ``claimed_by``, ``key`` (newest partition), ``partitions`` (→ version), ``digest``,
    and ``stop``, the record of how it was stopped or None.

    The name is the window's digest; where the window was claimed before, the digest, "+" and a digest of what for.
    """
    stops = {name: stop for name, stop in list_records(settings, pipeline_name, _STOPPED) if not stop["lifted_at"]}
    claims = list_records(settings, pipeline_name, CLAIM)
    return {name: {**claim, "digest": name.partition("+")[0], "stop": stops.get(name)} for name, claim in claims}


def note_stop(settings: Settings, pipeline_name: str, claimed_by: str, reason: str) -> None:
    """Write down that the run ``claimed_by`` ended without a verdict on the window that it had claimed."""
    dag_id, _, run_id = claimed_by.partition("/")
    facts = {"by": claimed_by, "run_url": link_run(settings, dag_id, run_id), "reason": reason, "lifted_at": None}
    for name, claim in read_claims(settings, pipeline_name).items():
        if claim["claimed_by"] == claimed_by:
            write_record(settings, pipeline_name, _STOPPED, name, {"window_digest": claim["digest"], **facts})


def lift_stop(settings: Settings, pipeline_name: str, claimed_by: str) -> None:
    """The run works on its claim again, or has its verdict after all."""
    for name, claim in read_claims(settings, pipeline_name).items():
        if claim["claimed_by"] == claimed_by and claim["stop"] is not None:
            write_record(settings, pipeline_name, _STOPPED, name, {**claim["stop"], "lifted_at": utc_now()})


def judged_by(blessing: dict[str, Any], claim: dict[str, Any]) -> bool:
    """Whether a blessing's record is of the run that holds the claim."""
    return bool(blessing["run_id"] == claim["claimed_by"].partition("/")[2])


def list_open(settings: Settings, pipeline_name: str) -> list[str]:
    """Runs ("DAG/run") that claimed a window, have judged no model yet and were not stopped."""
    blessings = [blessing for _, blessing in list_records(settings, pipeline_name, "blessing")]
    return [
        str(claim["claimed_by"])
        for claim in read_claims(settings, pipeline_name).values()
        if claim["stop"] is None and not any(judged_by(blessing, claim) for blessing in blessings)
    ]
