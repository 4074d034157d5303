"""S7, S8 and the SLA mail: each cause of a refusal on a pipeline of its own, and what customers get meanwhile."""

from __future__ import annotations

import httpx
import pytest

from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem

# Pipeline, the kinds of check that must stop it, and what the reasons must name.
CAUSES = [
    ("strict", {"value"}, "roc_auc"),
    ("missing_metric", {"value"}, "expected_cost"),
    ("weak_slice", {"slice"}, "origin"),
    ("lost_slice", {"slice"}, "BOS"),
    ("errored_slice", {"slice"}, "expected_cost"),
    ("nonsense", {"rule"}, "prediction"),
    ("constant", {"rule"}, "prediction"),
    ("beyond_one", {"value", "rule"}, "log_loss"),
]
# Stopped before any blessing: of candidates without a single figure none is the best.
UNCHOSEN = "not_a_number"


@pytest.fixture(scope="module")
def landed(system: RunningSystem) -> RunningSystem:
    """The same rows of a good month for every pipeline, all at once."""
    for pipeline in (UNCHOSEN, *(pipeline for pipeline, _, _ in CAUSES)):
        system.land(pipeline, "2013-01", take_rows(1))
    return system


@pytest.mark.parametrize(("pipeline", "kinds", "named"), CAUSES)
def test_a_model_that_fails_a_check_is_not_blessed_and_nothing_is_deployed(
    landed: RunningSystem, pipeline: str, kinds: set[str], named: str
) -> None:
    blessing = landed.wait_for_record(pipeline, "blessing", seconds=500)
    assert not blessing["blessed"]
    stopping = [check for check in blessing["checks"] if check["status"] in ("fail", "error")]
    assert {check["kind"] for check in stopping} == kinds
    assert any(named in check["name"] or named in check["detail"] for check in stopping), stopping
    run = landed.wait_for_run(f"{pipeline}.train_model")
    assert landed.task_states(run)["register_model"] == "skipped"
    assert_nothing_is_deployed(landed, pipeline)
    assert landed.wait_for_mail(f"{pipeline}: model of 2013-01 not blessed")


def assert_nothing_is_deployed(system: RunningSystem, pipeline: str) -> None:
    """No deployment, no champion, and an endpoint that serves nothing."""
    assert system.runs(f"{pipeline}.deploy_model") == []
    assert system.registry_champion(pipeline) is None
    answer = httpx.get(f"{system.endpoint_url(pipeline)}/ping", trust_env=False)
    assert answer.status_code == 503


def test_a_model_that_answers_nan_stops_its_training_and_nothing_is_deployed(landed: RunningSystem) -> None:
    run = landed.wait_for_run(f"{UNCHOSEN}.train_model", seconds=500)
    states = landed.task_states(run)
    assert (run["state"], states["fit_candidate[0]"], states["bless_best"]) == ("failed", "success", "failed")
    assert states["register_model"] == "upstream_failed"
    assert landed.list_records(UNCHOSEN, "blessing") == []
    assert_nothing_is_deployed(landed, UNCHOSEN)
    mail = landed.wait_for_mail(f"{UNCHOSEN}: bless_best failed")
    assert "No candidate has a finite roc_auc on the holdout (odd: nan)." in mail["text"]
    shown = {pipeline["name"] for pipeline in landed.read_overview()["pipelines"]}
    assert {UNCHOSEN, "missing_metric", "beyond_one"} <= shown, "figures that are no numbers do not break the page"


def test_a_training_that_misses_its_sla_is_mailed(landed: RunningSystem) -> None:
    mail = landed.wait_for_mail("strict: train_model missed its SLA of 1s", seconds=120)
    assert "/dags/strict.train_model/runs/" in mail["text"]
    assert mail["to"] == ["ml-owner@example.com"]
