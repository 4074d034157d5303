"""The ledger: what was dealt with is not dealt with again, and what was not is never taken for done."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pytest

from include.contracts import Arrival, Refresh
from include.data import ledger as ledger_module
from include.data.landing import find_arrival, find_arrivals
from include.data.ledger import find_verdict, list_verdicts, record_sighting, record_verdict
from include.data.publish import publish_partition
from include.data.snapshot import take_in
from include.declaration import Pipeline
from include.settings import Settings
from tests.unit.data.steps import make_report, split_month, take_month
from tests.unit.factory import land_rows, make_rows


def publish(settings: Settings, pipeline: Pipeline, arrival: Arrival, refresh: Refresh, rules: str = "rules-1") -> None:
    report = make_report(refresh.partition, rules)
    ref = publish_partition(settings, pipeline, refresh, split_month(settings, refresh), report)
    record_verdict(
        settings, refresh, arrival, "published", run_id="run-1", rules_version=rules, rows=ref.rows, version=ref.version
    )


def test_content_never_seen_has_no_verdict(settings: Settings, pipeline: Pipeline) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    assert find_verdict(settings, refresh) is None


@pytest.mark.parametrize("status", ["published", "blocked"])
def test_verdict_keeps_its_facts_and_the_file_is_no_longer_listed(
    settings: Settings, pipeline: Pipeline, status: Any
) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    assert find_arrivals(settings, pipeline) == [arrival]
    if status == "published":
        publish(settings, pipeline, arrival, refresh)
    else:
        record_verdict(settings, refresh, arrival, status, run_id="run-1", reason="r", report=make_report("2013-01"))
    verdict = find_verdict(settings, refresh)
    assert verdict is not None
    assert (verdict["status"], verdict["run_id"], verdict["fingerprint"]) == (status, "run-1", refresh.fingerprint)
    assert (verdict["partition"], verdict["source"], verdict["snapshot"]) == (
        "2013-01",
        arrival.path,
        refresh.snapshot,
    )
    assert find_arrivals(settings, pipeline) == []
    json.dumps(verdict)


def test_same_content_under_a_new_time_is_hashed_once_more_and_then_known(
    settings: Settings, pipeline: Pipeline
) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    publish(settings, pipeline, arrival, refresh)
    land_rows(settings, pipeline, "2013-01", make_rows("2013-01", 40, 1))
    (again,) = find_arrivals(settings, pipeline)
    repeated = take_in(settings, pipeline, again)
    verdict = find_verdict(settings, repeated)
    assert repeated == refresh and verdict is not None and verdict["status"] == "published"
    record_sighting(settings, repeated, again)
    assert find_arrivals(settings, pipeline) == []
    assert len(list((settings.records_root / "parcels" / "refresh").iterdir())) == 1


def test_corrected_content_has_no_verdict_of_its_own_yet(settings: Settings, pipeline: Pipeline) -> None:
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-01", seed=1))
    _, corrected = take_month(settings, pipeline, "2013-01", seed=2)
    assert find_verdict(settings, corrected) is None


def test_going_back_to_replaced_content_is_judged_again(settings: Settings, pipeline: Pipeline) -> None:
    """A, then B, then A once more: "already published" would leave B current against the sender's last word."""
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-01", seed=1))
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-01", seed=2))
    arrival, first = take_month(settings, pipeline, "2013-01", seed=1)
    assert find_verdict(settings, first) is None
    publish(settings, pipeline, arrival, first)
    verdict = find_verdict(settings, first)
    assert verdict is not None and verdict["status"] == "published"


def test_blocked_content_stays_blocked_after_a_good_one(settings: Settings, pipeline: Pipeline) -> None:
    arrival, bad = take_month(settings, pipeline, "2013-01", seed=1)
    record_verdict(settings, bad, arrival, "blocked", reason="r")
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-01", seed=2))
    verdict = find_verdict(settings, bad)
    assert verdict is not None and verdict["status"] == "blocked"


def test_other_rules_or_another_format_are_judged_again(settings: Settings, pipeline: Pipeline) -> None:
    """A suite that was too strict, or CSV landed as .parquet by mistake, must not block the content for ever."""
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    record_verdict(settings, refresh, arrival, "blocked", rules_version="rules-1")
    assert find_verdict(settings, refresh, rules_version="rules-1") is not None
    assert find_verdict(settings, refresh, rules_version="rules-2") is None
    assert find_verdict(settings, dataclasses.replace(refresh, format="csv")) is None


def test_fingerprints_that_only_begin_alike_are_different_content(settings: Settings, pipeline: Pipeline) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    record_verdict(settings, refresh, arrival, "blocked")
    lookalike = dataclasses.replace(refresh, fingerprint=refresh.fingerprint[:16] + "0" * 48)
    assert find_verdict(settings, lookalike) is None


def test_later_verdict_on_the_same_content_keeps_the_earlier_one(settings: Settings, pipeline: Pipeline) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    record_verdict(settings, refresh, arrival, "blocked", rules_version="rules-1", reason="too strict")
    publish(settings, pipeline, arrival, refresh, "rules-2")
    publish(settings, pipeline, arrival, refresh, "rules-2")  # a retry adds nothing
    verdict = find_verdict(settings, refresh)
    assert verdict is not None and verdict["status"] == "published"
    assert [(old["status"], old["reason"]) for old in verdict["earlier"]] == [("blocked", "too strict")]


def test_killed_between_verdict_and_sighting_means_one_more_look(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ledger_module, "record_sighting", die)
        with pytest.raises(KeyboardInterrupt):
            record_verdict(settings, refresh, arrival, "blocked")
    assert find_arrivals(settings, pipeline) == [arrival]
    verdict = find_verdict(settings, take_in(settings, pipeline, arrival))
    assert verdict is not None and verdict["status"] == "blocked"


def test_status_lists_the_newest_verdict_of_each_partition(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(f"2026-01-01T00:00:{second:02d}.000+00:00" for second in range(60))
    monkeypatch.setattr("include.records.utc_now", lambda: next(times))
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-02"))
    publish(settings, pipeline, *take_month(settings, pipeline, "2013-01", seed=1))
    arrival, second = take_month(settings, pipeline, "2013-01", seed=2)
    record_verdict(settings, second, arrival, "blocked", reason="nulls")
    assert [(v["partition"], v["status"], v.get("reason")) for v in list_verdicts(settings, pipeline)] == [
        ("2013-01", "blocked", "nulls"),
        ("2013-02", "published", None),
    ]


def test_known_file_that_is_rewritten_in_place_is_listed_again(settings: Settings, pipeline: Pipeline) -> None:
    arrival, refresh = take_month(settings, pipeline, "2013-01")
    record_verdict(settings, refresh, arrival, "blocked")
    os.utime(arrival.path, ns=(arrival.mtime_ns - 1, arrival.mtime_ns - 1))
    assert [again.mtime_ns for again in find_arrivals(settings, pipeline)] == [arrival.mtime_ns - 1]
    assert find_arrival(settings, pipeline, "2013-01").mtime_ns == arrival.mtime_ns - 1
