"""What every kind of deployment target does, whatever serves behind it: the same tests for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.deployment.door import read_status
from include.errors import NothingToGoBackTo, RolledBack, TollgateError, TransientError
from include.settings import Settings
from tests.unit.deployment.steps import StartEndpoint
from tests.unit.deployment.targets import HARNESSES, Harness, Surroundings
from tests.unit.served_models import make_requests


@pytest.fixture(params=list(HARNESSES))
def harness(request: Any, settings: Settings, tmp_path: Path, start_endpoint: StartEndpoint) -> Harness:
    return HARNESSES[request.param](Surroundings(settings, tmp_path, start_endpoint))


def go_live(harness: Harness, number: str) -> None:
    harness.open().deploy(harness.make_release(number))
    harness.settle()
    progress = harness.open().check(number)
    assert (progress.version, progress.state) == (number, "live")
    assert progress.place, "the ledger keeps what it is called there"
    harness.record(progress)


def ask(harness: Harness, rows: int = 3) -> dict[str, Any]:
    frame = make_requests(harness.pipeline, rows).astype(object)
    records = frame.where(frame.notna(), None).to_dict("records")
    answer = harness.open().predict(json.dumps({"dataframe_records": records}).encode(), "application/json")
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def test_the_door_opens_what_is_declared(harness: Harness) -> None:
    assert harness.open().kind == harness.pipeline.deployment.target.kind


def test_before_the_first_deployment_nothing_is_served_and_nothing_can_be_gone_back_to(harness: Harness) -> None:
    status = harness.open().status()
    assert (status.state, status.declared_version, status.served_version) == ("no model deployed yet", None, None)
    assert harness.open().find_declared() is None
    with pytest.raises(NothingToGoBackTo):
        harness.open().roll_back(None, "a/run", "why")


def test_a_version_goes_live_and_answers(harness: Harness) -> None:
    go_live(harness, "1")
    status = harness.open().status()
    assert (status.state, status.declared_version, status.served_version, status.agree) == ("ready", "1", "1", True)
    assert harness.open().find_declared() == "1"
    told = ask(harness, rows=3)
    assert len(told["predictions"]) == 3 and told["model_version"] == "1"
    shown = read_status(harness.settings, harness.pipeline, getattr(harness, "aws", None))
    assert (shown.served_version, shown.agree, shown.partition, shown.reason) == ("1", True, "2013-01", "because")


def test_a_wrong_request_is_the_models_answer_and_no_failure_of_the_target(harness: Harness) -> None:
    go_live(harness, "1")
    answer = harness.open().predict(b'{"nonsense": []}', "application/json")
    assert 400 <= answer.status < 500 and json.loads(answer.body)["message"]


def test_the_next_version_names_the_one_before_and_nothing_is_made_twice(harness: Harness) -> None:
    go_live(harness, "1")
    go_live(harness, "2")
    again = harness.open().deploy(harness.make_release("2", by="parcels.deploy_model/once-more"))
    assert (again.state, again.version, again.previous_version) == ("live", "2", "1")
    made = harness.list_made()
    assert len(made) == len(set(made))
    harness.settle()
    assert harness.open().status().agree


def test_going_back_serves_the_version_before_and_not_the_one_that_was_left(harness: Harness) -> None:
    go_live(harness, "1")
    go_live(harness, "2")
    back = harness.open().roll_back(None, "parcels.rollback/run", "somebody asked")
    assert (back.version, back.previous_version) == ("1", "2")
    harness.settle()
    progress = harness.open().check("1")
    assert progress.state == "live"
    harness.record(progress, left="2")
    assert ask(harness)["model_version"] == "1"
    with pytest.raises(NothingToGoBackTo):
        harness.open().roll_back(None, "parcels.rollback/another", "further")


def test_a_version_that_fails_where_customers_are_is_taken_back_and_said(harness: Harness) -> None:
    go_live(harness, "1")
    with pytest.raises(RolledBack) as caught:
        harness.open().deploy(harness.make_release("2", bad=True))
        harness.settle(failed=True)
        harness.open().check("2")
    error = caught.value
    assert (error.version, error.champion, error.retryable) == ("2", "1", False)
    assert harness.open().status().served_version == "1"
    assert ask(harness)["model_version"] == "1"


def test_a_version_that_nobody_asked_for_is_not_said_to_be_live(harness: Harness) -> None:
    go_live(harness, "1")
    with pytest.raises(RolledBack):
        harness.open().check("7")


def test_a_target_that_is_away_is_said_by_status_and_can_be_tried_again(harness: Harness) -> None:
    go_live(harness, "1")
    harness.go_away()
    status = harness.open().status()
    assert (status.state, status.served_version, status.agree) == ("down", None, False) and status.problem
    with pytest.raises(TransientError):
        harness.open().predict(b"{}", "application/json")
    with pytest.raises(TollgateError) as caught:
        harness.open().check("1")
    assert caught.value.retryable


def test_retiring_ends_the_serving_for_good_and_can_be_repeated(harness: Harness) -> None:
    go_live(harness, "1")
    for _ in range(2):
        harness.open().retire()
        harness.settle()
    status = harness.open().status()
    assert (status.declared_version, status.served_version) == (None, None)
    with pytest.raises(TollgateError):
        harness.open().roll_back(None, "a/run", "why")
    go_live(harness, "2")
