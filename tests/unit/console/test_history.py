"""What the history says became of a content: of its training, and of what kept a blessed model from customers."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from include.console import overview as overview_module
from include.console.history import HistoryRow, read_history
from include.console.overview import read_overview
from include.console.page import render_page
from include.data.trainings import lift_stop, note_stop
from include.records import write_record
from include.settings import Settings
from tests.unit.steps.declared import write_pipeline

PIPELINE = "parcels"
MONTHS = {"jan": "2013-01", "feb": "2013-02", "mar": "2013-03"}
_seconds = itertools.count()


def write(settings: Settings, kind: str, name: str, /, **facts: Any) -> None:
    """A record a second after the one before it."""
    now = next(_seconds)
    at = f"2026-01-01T{now // 3600:02d}:{now // 60 % 60:02d}:{now % 60:02d}.000+00:00"
    write_record(settings, PIPELINE, kind, name, {"recorded_at": at, **facts})


def publish(settings: Settings, partition: str, version: str) -> None:
    facts = {"status": "published", "partition": partition, "fingerprint": version, "version": version}
    write(settings, "refresh", f"{partition}@{version}", **facts)


def claim(settings: Settings, name: str, run: str, ended_early: bool = False, **versions: str) -> None:
    """A training of what each month, jan or feb or mar, had then."""
    partitions = {MONTHS[month]: version for month, version in versions.items()}
    facts = {"partitions": partitions, "key": max(partitions), "claimed_by": f"{PIPELINE}.train_model/{run}"}
    write(settings, "training", name, **facts, ended_early=ended_early)


def bless(settings: Settings, digest: str, run: str, blessed: bool = True, partition: str = "2013-01") -> None:
    """The candidate's run in MLflow is named after the run."""
    write(
        settings,
        "blessing",
        f"mlflow-{run}",
        window_digest=digest,
        run_id=run,
        partition=partition,
        blessed=blessed,
        candidate="trees",
        metrics={"roc_auc": 0.7},
        reasons=["roc_auc is above its limit." if blessed else "roc_auc is below its limit."],
        champion_version="3",
    )


def stop(settings: Settings, run: str, reason: str) -> None:
    note_stop(settings, PIPELINE, f"{PIPELINE}.train_model/{run}", reason)


def write_blessed(settings: Settings) -> None:
    publish(settings, "2013-01", "v")
    claim(settings, "digest", "run", jan="v")
    bless(settings, "digest", "run")


def write_latency(settings: Settings, key: str, passed: bool) -> None:
    facts = {"candidate_run_id": "mlflow-run", "version": "4", "by": f"{PIPELINE}.deploy_model/{key}"}
    write(settings, "latency", f"{key}@4", **facts, passed=passed, reasons=["p99 is 12.00 ms."])


def write_deployment(settings: Settings, version: str, partition: str, by: str, left: str | None = None) -> None:
    facts = {"version": version, "partition": partition, "by": by, "rolled_back_from": left, "reason": "Because."}
    write(settings, "deployment", f"{next(_seconds)}@{version}", **facts)


def read_one(settings: Settings) -> HistoryRow:
    (row,) = read_history(settings, PIPELINE)
    return row


def read_outcomes(settings: Settings) -> dict[str, tuple[str, str]]:
    """Outcome and training's run of each content."""
    rows = read_history(settings, PIPELINE)
    return {row.fingerprint: (row.outcome, row.training.partition("/")[2]) for row in rows}


def test_a_model_that_was_stopped_is_too_slow_until_a_later_measurement_passes(settings: Settings) -> None:
    write_blessed(settings)
    row = read_one(settings)
    assert (row.outcome, row.version) == ("blessed", "")
    write_latency(settings, "1", passed=False)
    row = read_one(settings)
    assert (row.outcome, row.why, row.version) == ("too slow", "p99 is 12.00 ms.", "4")
    assert row.deployment == "parcels.deploy_model/1"
    write_latency(settings, "2", passed=True)
    row = read_one(settings)
    assert (row.outcome, row.version) == ("blessed", "")


def test_a_model_that_its_rollout_took_back_says_so_until_a_later_rollout_ends_well(settings: Settings) -> None:
    write_blessed(settings)
    write_latency(settings, "1", passed=True)
    rollout = {"version": "4", "outcome": "rolled back", "reason": "max_failure_rate: 9 of 60 requests failed."}
    write(settings, "rollout", "1@4", **rollout)
    row = read_one(settings)
    assert (row.outcome, row.why, row.version) == ("rolled back", rollout["reason"], "4")
    write(settings, "rollout", "2@4", **{**rollout, "outcome": "promoted", "reason": ""})
    assert read_one(settings).outcome == "blessed"


def test_a_version_whose_deployment_was_stopped_is_not_deployed_until_it_is(settings: Settings) -> None:
    write_blessed(settings)
    facts = {"version": "4", "candidate_run_id": "mlflow-run"}
    write(settings, "not_deployed", "1@4", **facts, reason="It failed in the sandbox.", by="parcels.deploy_model/1")
    row = read_one(settings)
    assert (row.outcome, row.why, row.version) == ("not deployed", "It failed in the sandbox.", "4")
    assert row.deployment == "parcels.deploy_model/1"
    write_latency(settings, "2", passed=False)
    assert read_one(settings).outcome == "too slow", "the newest of what kept it back"
    write_latency(settings, "3", passed=True)
    write(settings, "not_deployed", "3@4", **facts, reason="Rejected by ann.", by="parcels.deploy_model/3")
    row = read_one(settings)
    assert (row.outcome, row.why, row.deployment) == ("not deployed", "Rejected by ann.", "parcels.deploy_model/3")
    write_deployment(settings, "3", "2013-01", "parcels.rollback/1", left="2")
    assert read_one(settings).outcome == "not deployed", "another version of the same partition"
    write_deployment(settings, "4", "2013-01", "parcels.deploy_model/4")
    row = read_one(settings)
    assert (row.outcome, row.version, row.deployment) == ("deployed", "4", "parcels.deploy_model/4")


def test_a_training_that_was_stopped_says_why_until_one_of_the_same_window_ends_well(settings: Settings) -> None:
    publish(settings, "2013-01", "v")
    claim(settings, "digest", "run-1", jan="v")
    row = read_one(settings)
    assert (row.outcome, row.why[:6]) == ("training", "since ")
    stop(settings, "run-1", "Features 2013-01 were blocked.")
    row = read_one(settings)
    assert (row.outcome, row.why) == ("stopped", "Features 2013-01 were blocked.")
    assert row.training == "parcels.train_model/run-1"
    claim(settings, "digest+again", "run-2", jan="v")
    assert read_outcomes(settings) == {"v": ("training", "run-2")}
    bless(settings, "digest", "run-2", blessed=False)
    assert read_outcomes(settings) == {"v": ("refused", "run-2")}
    claim(settings, "digest+hand", "run-3", jan="v")
    stop(settings, "run-3", "Killed.")
    assert read_outcomes(settings) == {"v": ("refused", "run-2")}


def test_a_stopped_run_that_was_cleared_and_ended_well_is_not_stopped(settings: Settings) -> None:
    write_blessed(settings)
    stop(settings, "run", "register_model: MLflow did not answer.")
    row = read_one(settings)
    assert (row.outcome, row.why) == ("stopped", "register_model: MLflow did not answer.")
    assert dict(row.metrics) == {"roc_auc": 0.7}
    lift_stop(settings, PIPELINE, f"{PIPELINE}.train_model/run")
    assert read_one(settings).outcome == "blessed"


def test_each_content_has_the_outcome_of_its_own_training(settings: Settings) -> None:
    """Later windows use it as well: what became of them is said of what came in with them."""
    publish(settings, "2013-01", "a")
    claim(settings, "d1", "run-1", jan="a")
    bless(settings, "d1", "run-1", blessed=False)
    publish(settings, "2013-02", "b")
    claim(settings, "d2", "run-2", jan="a", feb="b")
    bless(settings, "d2", "run-2", partition="2013-02")
    assert read_outcomes(settings) == {"a": ("refused", "run-1"), "b": ("blessed", "run-2")}
    publish(settings, "2013-03", "c")
    claim(settings, "hand", "by-hand", jan="a", feb="b2", ended_early=True)
    publish(settings, "2013-02", "b2")
    assert read_outcomes(settings)["b2"] == ("training", "by-hand")
    claim(settings, "d3", "run-3", jan="a", feb="b2", mar="c")
    assert read_outcomes(settings) == {
        "a": ("refused", "run-1"),
        "b": ("blessed", "run-2"),
        "b2": ("training", "run-3"),
        "c": ("training", "run-3"),
    }


@pytest.mark.parametrize("between", [False, True])
def test_a_content_that_was_gone_back_to_has_the_outcome_of_its_new_training(settings: Settings, between: bool) -> None:
    publish(settings, "2013-01", "a")
    claim(settings, "da", "run-1", jan="a")
    bless(settings, "da", "run-1")
    publish(settings, "2013-01", "b")
    claim(settings, "db", "run-2", jan="b")
    bless(settings, "db", "run-2", blessed=False)
    if between:
        claim(settings, "dc", "run-3", jan="b", feb="c")
    publish(settings, "2013-01", "a")
    assert read_outcomes(settings) == {"b": ("refused", "run-2"), "a": ("blessed", "run-1")}
    again = {"feb": "c"} if between else {}
    claim(settings, "dac" if between else "da+again", "run-4", jan="a", **again)
    assert read_outcomes(settings) == {"b": ("refused", "run-2"), "a": ("training", "run-4")}
    bless(settings, "dac" if between else "da", "run-4", blessed=False)
    assert read_outcomes(settings) == {"b": ("refused", "run-2"), "a": ("refused", "run-4")}


def test_the_page_shows_what_was_stopped_as_what_did_not_go_well(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(settings, PIPELINE)
    publish(settings, "2013-01", "v")
    claim(settings, "digest", "run-1", jan="v")
    stop(settings, "run-1", "Features 2013-01 were <blocked>.")
    registry = {"champion": "", "challenger": "", "problem": "away"}
    monkeypatch.setattr(overview_module, "_read_registry", lambda *_: registry)
    page = render_page(read_overview(settings))
    assert '<span class="badge stopped">stopped</span>' in page
    assert "Features 2013-01 were &lt;blocked&gt;." in page
    assert 'href="../dags/parcels.train_model/runs/run-1"' in page
    styled = re.search(r"([^}]*){\s*background:var\(--bad-bg\);color:var\(--bad\)}", page)
    assert styled is not None
    for outcome in ("blocked", "stopped", "refused", "too slow", "rolled back", "not deployed", "put back"):
        assert f".badge.{outcome.split()[0]}," in styled[1]
