"""S7, S8 and the SLA mail: each cause of a refusal on a pipeline of its own, and what customers get meanwhile."""

from __future__ import annotations

import math

import httpx
import pytest

from include.records import list_records
from include.tracking.entries import read_tags
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
    ("not_a_number", {"value", "slice", "calibration", "rule"}, "roc_auc of odd is not a number"),
]


@pytest.fixture(scope="module")
def landed(system: RunningSystem) -> RunningSystem:
    """The same rows of a good month for every pipeline, all at once."""
    for pipeline, _, _ in CAUSES:
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


def test_figures_that_are_no_numbers_are_in_the_blessing_and_do_not_break_the_page(landed: RunningSystem) -> None:
    blessing = landed.wait_for_record("not_a_number", "blessing", seconds=500)
    assert math.isnan(blessing["metrics"]["roc_auc"])
    run_id = next(key for key, _ in list_records(landed.settings, "not_a_number", "blessing"))
    assert read_tags(landed.settings, run_id)["tollgate.blessing"] == "refused"
    mail = landed.wait_for_mail("not_a_number: model of 2013-01 not blessed")
    assert "roc_auc of odd is not a number, so it cannot be judged." in mail["text"]
    shown = {pipeline["name"]: pipeline["history"] for pipeline in landed.read_overview()["pipelines"]}
    for name in ("not_a_number", "missing_metric", "beyond_one"):
        assert [row["outcome"] for row in shown[name]] == ["refused"]


def test_a_training_that_misses_its_sla_is_mailed(landed: RunningSystem) -> None:
    mail = landed.wait_for_mail("strict: train_model missed its SLA of 1s", seconds=120)
    assert "/dags/strict.train_model/runs/" in mail["text"]
    assert mail["to"] == ["ml-owner@example.com"]
