"""What is read from the documents of a cluster that no look of the other tests happens to meet."""

from __future__ import annotations

from typing import Any

import pytest

from include.deployment.kserve.observed import Seen, read_document


def read(created: str, ready: str, **status: Any) -> Seen:
    """A service whose revisions one and two serve the releases 1-a and 2-b."""
    revisions = [
        {"metadata": {"name": name, "labels": {"tollgate/release": release, "tollgate/version": release[0]}}}
        for name, release in (("one", "1-a"), ("two", "2-b"))
    ]
    traffic = [{"revisionName": ready, "percent": 100}]
    component = {"latestCreatedRevision": created, "latestReadyRevision": ready, "traffic": traffic}
    conditions = [{"type": "Ready", "status": "True"}]
    told = {"components": {"predictor": component}, "conditions": conditions, **status}
    return read_document({"metadata": {}, "spec": {"predictor": {}}, "status": told}, revisions)


def test_only_the_revision_that_is_both_the_latest_and_ready_is_up() -> None:
    assert [read("two", "two").is_up(release) for release in ("1-a", "2-b")] == [False, True]
    assert [read("two", "one").is_up(release) for release in ("1-a", "2-b")] == [False, False]


def test_a_revision_that_nobody_labelled_is_no_release_of_ours() -> None:
    seen = read("somebodys", "somebodys")
    assert (seen.served_release, seen.served_version) == ("revision somebodys", None)


@pytest.mark.parametrize("state", ["BlockedByFailedLoad", "InvalidSpec"])
def test_a_model_that_failed_to_load_is_a_failure_whatever_the_conditions_say(state: str) -> None:
    info = {"reason": "ModelLoadFailed", "message": "no such file"}
    seen = read("two", "two", modelStatus={"transitionStatus": state, "lastFailureInfo": info})
    assert seen.find_failure("2-b") == f"the model is {state}: ModelLoadFailed: no such file"
    assert seen.find_failure("1-a") == "", "it is of the latest revision"


def test_a_failure_of_before_is_none_once_the_model_is_up_to_date() -> None:
    status = {"transitionStatus": "UpToDate", "lastFailureInfo": {"message": "of the first try"}}
    assert read("two", "two", modelStatus=status).find_failure("2-b") == ""


@pytest.mark.parametrize(
    ("told", "mode"), [("Serverless", "Knative"), ("Knative", "Knative"), ("Standard", "Standard")]
)
def test_the_mode_with_canaries_goes_by_two_names(told: str, mode: str) -> None:
    assert read("two", "two", deploymentMode=told).mode == mode
