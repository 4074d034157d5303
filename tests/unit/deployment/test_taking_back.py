"""The way back: to the version before, or to nothing when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.declaration import Pipeline
from include.deployment.local import switch
from include.deployment.local.deploy import rollback_to_previous, verify_deployment
from include.deployment.local.status import read_status
from include.errors import AnswersDiffer, EndpointUnavailable, TerminalError
from include.pointer import locate_endpoint_folder, locate_pointer, read_pointer
from include.records import list_records
from include.scoring.scorer import Scorer
from include.settings import Settings
from tests.unit.deployment.conftest import write_predictions
from tests.unit.deployment.steps import StartEndpoint, deploy_now, list_deployments, make_version
from tests.unit.served_models import wait_for


def test_the_next_version_replaces_it_and_going_back_is_one_call(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, other_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    assert deploy_now(settings, pipeline, "2", other_dir).previous_version == "1"
    assert read_status(settings, pipeline).previous_version == "1"
    back = rollback_to_previous(settings, pipeline, "an operator", "version 2 is too gloomy")
    assert (back.version, back.previous_version) == ("1", "2")
    assert server.ask("GET", "/version")[1]["version"] == "1"
    assert read_status(settings, pipeline).reason == "version 2 is too gloomy"
    assert list_deployments(settings) == ["1", "2", "1"]
    with pytest.raises(TerminalError, match="no earlier version"):
        rollback_to_previous(settings, pipeline, "an operator", "once more")


def test_a_version_whose_live_answers_differ_is_taken_back(
    settings: Settings,
    pipeline: Pipeline,
    start_endpoint: StartEndpoint,
    model_dir: Path,
    scorer: Scorer,
    other_dir: Path,
    tmp_path: Path,
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    deploy_now(settings, pipeline, "2", other_dir)
    wrong = write_predictions(pipeline, scorer, tmp_path / "of-version-1.parquet")
    with pytest.raises(AnswersDiffer, match=r"Version 1 is served again\."):
        verify_deployment(settings, pipeline, make_version("2"), wrong)
    assert server.ask("GET", "/version")[1]["version"] == "1"


def find_state(settings: Settings, pipeline: Pipeline) -> tuple[str, str | None]:
    status = read_status(settings, pipeline)
    return status.state, status.served_version


def test_a_first_version_whose_live_answers_differ_is_withdrawn_and_nothing_is_served(
    settings: Settings,
    pipeline: Pipeline,
    start_endpoint: StartEndpoint,
    model_dir: Path,
    predictions: str,
    other_scorer: Scorer,
    tmp_path: Path,
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    wrong = write_predictions(pipeline, other_scorer, tmp_path / "of-another.parquet")
    with pytest.raises(AnswersDiffer, match=r"was withdrawn and the endpoint serves nothing\.") as caught:
        verify_deployment(settings, pipeline, make_version("1"), wrong)
    assert caught.value.version == "1"
    assert not caught.value.retryable
    status, body = server.ask("POST", "/invocations", {"instances": []})
    assert (status, body["error_code"]) == (503, "NOT_READY")
    assert "Version 1 was withdrawn" in body["message"]
    assert find_state(settings, pipeline) == ("withdrawn", None)
    (record,) = [record for _, record in list_records(settings, "parcels", "deployment")]
    assert "does not answer stored rows" in record["withdrawn_because"]

    server.stop()
    start_endpoint()
    wait_for(lambda: find_state(settings, pipeline) == ("withdrawn", None))
    # The way out is a deployment, also of the same version.
    assert deploy_now(settings, pipeline, "1", model_dir).previous_version is None
    verify_deployment(settings, pipeline, make_version("1"), predictions)
    assert find_state(settings, pipeline) == ("ready", "1")


def test_a_withdrawal_that_the_endpoint_cannot_hear_is_followed_when_it_is_back(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    folder = locate_endpoint_folder(settings, "parcels")
    server.stop()
    doubt = switch.withdraw_version(switch.locate_endpoint(settings, pipeline), folder, "1", "it was wrong", 0.2)
    assert "did not answer" in doubt
    start_endpoint()
    wait_for(lambda: find_state(settings, pipeline) == ("withdrawn", None))


def test_a_pointer_that_is_only_lost_takes_nothing_from_customers(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    locate_pointer(settings.serving_root / "parcels").unlink()
    assert "pointer is gone" in wait_for(lambda: read_status(settings, pipeline).problem)
    assert server.ask("GET", "/ping")[1]["model_version"] == "1"


def test_a_first_version_that_is_taken_up_too_late_is_not_served_on(
    settings: Settings,
    pipeline: Pipeline,
    start_endpoint: StartEndpoint,
    model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deployment failed, so nobody compared its answers."""
    server = start_endpoint()

    def look_too_early(*_: object) -> None:
        server.wait_ready("1")
        raise EndpointUnavailable("It was too slow.", next_step="Look why.", url=None, version="1")

    monkeypatch.setattr(switch, "_wait_until_served", look_too_early)
    with pytest.raises(EndpointUnavailable):
        deploy_now(settings, pipeline, "1", model_dir)
    wait_for(lambda: find_state(settings, pipeline) == ("withdrawn", None))
    assert read_pointer(settings.serving_root / "parcels") is None


def test_a_failed_deployment_over_a_damaged_pointer_leaves_what_is_served(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, broken_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    locate_pointer(settings.serving_root / "parcels").write_text("{")
    with pytest.raises(EndpointUnavailable):
        deploy_now(settings, pipeline, "2", broken_dir)
    wait_for(lambda: "pointer is gone" in str(read_status(settings, pipeline).problem))
    assert server.ask("GET", "/ping") == (200, {"status": "ready", "model_version": "1"})
