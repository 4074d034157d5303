"""What the history says of a blessed model that the latency gate stopped or its rollout took back."""

from __future__ import annotations

from include.console.history import read_history
from include.records import write_record
from include.settings import Settings


def write_blessed(settings: Settings) -> None:
    refresh = {"status": "published", "partition": "2013-01", "fingerprint": "f", "version": "v"}
    write_record(settings, "parcels", "refresh", "2013-01@f", refresh)
    claim = {"partitions": {"2013-01": "v"}, "key": "2013-01", "claimed_by": "parcels.train_model/run"}
    write_record(settings, "parcels", "training", "digest", claim)
    blessing = {
        "window_digest": "digest",
        "partition": "2013-01",
        "blessed": True,
        "candidate": "trees",
        "metrics": {"roc_auc": 0.7},
        "reasons": ["roc_auc is above its limit."],
        "champion_version": "3",
    }
    write_record(settings, "parcels", "blessing", "run4", blessing)


def write_latency(settings: Settings, key: str, passed: bool) -> None:
    facts = {"candidate_run_id": "run4", "version": "4", "passed": passed, "reasons": ["p99 is 12.00 ms."]}
    write_record(settings, "parcels", "latency", key, facts)


def test_a_model_that_was_stopped_is_too_slow_until_a_later_measurement_passes(settings: Settings) -> None:
    write_blessed(settings)
    (row,) = read_history(settings, "parcels")
    assert (row.outcome, row.version) == ("blessed", "")
    write_latency(settings, "1@4", passed=False)
    (row,) = read_history(settings, "parcels")
    assert (row.outcome, row.why, row.version) == ("too slow", "p99 is 12.00 ms.", "4")
    write_latency(settings, "2@4", passed=True)
    (row,) = read_history(settings, "parcels")
    assert (row.outcome, row.version) == ("blessed", "")


def test_a_model_that_its_rollout_took_back_says_so_until_a_later_rollout_ends_well(settings: Settings) -> None:
    write_blessed(settings)
    write_latency(settings, "1@4", passed=True)
    rollout = {"version": "4", "outcome": "rolled back", "reason": "max_failure_rate: 9 of 60 requests failed."}
    write_record(settings, "parcels", "rollout", "1@4", rollout)
    (row,) = read_history(settings, "parcels")
    assert (row.outcome, row.why, row.version) == ("rolled back", rollout["reason"], "4")
    write_record(settings, "parcels", "rollout", "2@4", {**rollout, "outcome": "promoted", "reason": ""})
    (row,) = read_history(settings, "parcels")
    assert row.outcome == "blessed"
