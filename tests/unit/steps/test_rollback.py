"""A rollback by hand: customers first, whatever else is down or under way, and exactly once."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.contracts import Rollback
from include.deployment.left import find_left
from include.deployment.local import deploy, rollback, switch
from include.deployment.local.lock import hold_endpoint
from include.errors import DeploymentStopped, NotBlessed, NothingToGoBackTo, VersionLeft
from include.steps import champion
from include.steps import rollback as step
from include.steps.deploy import choose_version
from include.steps.reconcile import reconcile_endpoints
from include.steps.rollback import finish_begun, go_back
from include.tracking.client import open_client
from include.tracking.registry import get_version, set_challenger
from tests.unit.steps.live import Live

BY_COMMAND = "make rollback"
RUN = "rolled.rollback/manual__1"


def go(live: Live, by: str = BY_COMMAND, reason: str | None = "too gloomy", version: str | None = None) -> Rollback:
    return go_back(live.settings, live.pipeline, by=by, who="alice", reason=reason, version=version)


def deploy_all(live: Live) -> None:
    for number in ("1", "2", "3"):
        live.deploy(number)


def test_the_version_before_is_served_and_everybody_hears_who_and_why(live: Live) -> None:
    deploy_all(live)
    done = go(live)
    assert (done.left, done.version, done.who, done.problems) == ("3", "2", "alice", ())
    assert done.checked == "60 stored rows got the answers that they had on the holdout"
    assert live.find_versions() == ("2", "2", "2")
    assert live.read_pointer().reason == "alice rolled back from version 3: too gloomy"
    assert live.list_deployments() == ["1", "2", "3", "2"]
    record = live.list_records("deployment")[-1]
    assert (record["rolled_back_from"], record["who"], record["by"]) == ("3", "alice", BY_COMMAND)
    for number, other in (("3", "tollgate.rolled_back_to"), ("2", "tollgate.rolled_back_from")):
        tags = live.read_tags(number)
        assert (tags["tollgate.rolled_back_by"], tags["tollgate.rolled_back_because"]) == ("alice", "too gloomy")
        assert tags[other] == {"3": "2", "2": "3"}[number]
    (mail,) = live.list_mails()
    for text in ("alice rolled back from version 3 to 2", "too gloomy", "version=3D3", "What to do next"):
        assert text in mail
    # What was left does not come back by itself: not by a retry, not by a run that names no version …
    with pytest.raises(VersionLeft, match="alice: too gloomy"):
        live.deploy("3")
    set_challenger(live.settings, "rolled", "3")
    for offered in ([], [get_version(live.settings, "rolled", "3")]):
        told = choose_version(live.settings, live.pipeline, None, offered)
        assert isinstance(told, str) and "alice" in told
    assert reconcile_endpoints(live.settings, lambda _: False) == "There was nothing to do."
    assert live.find_versions() == ("2", "2", "2")
    # … and the next rollback goes one further, until there is nothing.
    assert go(live, reason=None).version == "1"
    assert live.read_pointer().reason == "alice rolled back from version 2: no reason was given"
    with pytest.raises(NothingToGoBackTo, match="no earlier version than 1"):
        go(live)
    # Only its number brings it back.
    with pytest.raises(VersionLeft):
        go(live, version="3")
    choose_version(live.settings, live.pipeline, "3", [])
    live.deploy("3", "by hand")
    assert live.find_versions() == ("3", "3", "3")
    assert go(live).version == "1"


def test_a_named_version_must_have_been_served_and_be_blessed_still(live: Live) -> None:
    with pytest.raises(NothingToGoBackTo, match="serves nothing yet"):
        go(live)
    live.deploy("1")
    live.deploy("2")
    for version, problem in (("3", "served no version '3'"), ("x", "served no version 'x'"), ("2", "already")):
        with pytest.raises(NothingToGoBackTo, match=problem):
            go(live, version=version)
    live.deploy("3")
    with open_client(live.settings) as client:
        client.set_model_version_tag("rolled", "2", "tollgate.blessing", "taken back")
    with pytest.raises(NotBlessed):
        go(live, version="2")
    assert go(live).version == "1", "a version that is not blessed any more is passed over"
    assert live.find_versions() == ("1", "1", "1")


def test_its_model_is_downloaded_again_where_the_endpoints_copy_is_gone_or_damaged(live: Live) -> None:
    deploy_all(live)
    previous = live.read_pointer().previous
    assert previous is not None
    for path in (live.folder / previous.model_dir).rglob("*.skops"):
        path.write_bytes(b"")
    assert go(live).version == "2"
    assert live.find_versions() == ("2", "2", "2")


def test_without_mlflow_customers_get_it_at_once_and_the_alias_follows_later(live: Live) -> None:
    deploy_all(live)
    away = dataclasses.replace(live.settings, mlflow_uri="http://127.0.0.1:9")
    done = go_back(away, live.pipeline, by=BY_COMMAND, who="alice", reason="bad", version=None)
    assert live.find_versions() == ("2", "3", "2")
    assert "could not be replayed while MLflow is down" in done.checked
    assert "Housekeeping does that" in done.problems[0]
    assert "Housekeeping does that" in live.list_mails()[0]
    assert not rollback.has_begun(live.settings, "rolled"), "the next request is another rollback"
    told = reconcile_endpoints(live.settings, lambda _: False)
    assert "champion was version 3; it is version 2" in told
    assert live.find_versions() == ("2", "2", "2")
    assert live.read_tags("3")["tollgate.rolled_back_by"] == "alice"
    assert live.read_tags("2")["tollgate.rolled_back_because"] == "bad"


def _die_after(place: Any, name: str) -> None:
    """From now on this process is killed right after it called ``place.name``."""
    call = getattr(place, name)

    def call_and_die(*arguments: Any, **named: Any) -> None:
        call(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, name, call_and_die)


def kill_after(place: Any, name: str, work: Callable[[], object]) -> None:
    def run() -> None:
        _die_after(place, name)
        work()

    task = multiprocessing.get_context("fork").Process(target=run)
    task.start()
    task.join(120)
    assert task.exitcode == -signal.SIGKILL, (name, task.exitcode)


STEPS = (
    (rollback, "write_file_atomically"),  # the intent
    (rollback, "note_left"),
    (switch, "write_pointer"),
    (deploy, "write_record"),
    (step, "compare_answers"),
    (step, "note_rollback"),
    (champion, "promote_champion"),
    (step, "queue_mail"),
)


@pytest.mark.slow
@pytest.mark.parametrize("by", [BY_COMMAND, RUN])
def test_killed_after_any_step_and_run_again_it_is_one_rollback(live: Live, by: str) -> None:
    deploy_all(live)
    for turn, (place, name) in enumerate(STEPS):
        request = by if by == BY_COMMAND else f"{by}{turn}"
        deployments, mails = len(live.list_deployments()), len(live.list_mails())
        kill_after(place, name, lambda request=request: go(live, request))  # type: ignore[misc]
        if turn % 2 and by == BY_COMMAND:
            # Nobody runs it again: housekeeping does.
            assert finish_begun(live.settings, live.pipeline) is not None
        else:
            assert go(live, request).version == "2", name
        assert live.find_versions() == ("2", "2", "2"), name
        assert live.list_deployments()[deployments:] == ["2"], name
        assert len(live.list_mails()) == mails + 1, name
        assert find_left(live.settings, "rolled", "3") is not None
        if by == RUN:
            assert go(live, request).version == "2", "a run's second try is no second rollback"
            assert live.list_deployments()[deployments:] == ["2"], name
        choose_version(live.settings, live.pipeline, "3", [])
        live.deploy("3", f"again-{turn}")


def test_a_rollback_that_was_cut_short_does_not_undo_what_was_deployed_by_its_number_since(live: Live) -> None:
    deploy_all(live)
    kill_after(switch, "write_pointer", lambda: go(live))
    choose_version(live.settings, live.pipeline, "3", [])
    live.deploy("3", "by hand")
    assert finish_begun(live.settings, live.pipeline) is None
    assert live.find_versions() == ("3", "3", "3")


def test_a_deployment_that_does_not_get_through_gives_way(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has written its pointer and waits for a model that the endpoint is long in loading."""
    live.deploy("1")
    live.deploy("2")
    waits = threading.Event()
    stopped: list[BaseException] = []
    monkeypatch.setattr(switch, "serves", lambda *arguments: _serves(*arguments, waits=waits))

    def deploy_third() -> None:
        try:
            live.deploy("3")
        except BaseException as error:
            stopped.append(error)

    deployment = threading.Thread(target=deploy_third)
    deployment.start()
    assert waits.wait(60)
    (live.folder / "rollout.json").write_text("{}")
    began = time.monotonic()
    done = go(live)
    assert (done.left, done.version) == ("3", "2"), "it was already the pointer when the person asked"
    assert time.monotonic() - began < 40
    deployment.join(60)
    assert isinstance(stopped[0], DeploymentStopped)
    assert not (live.folder / "rollout.json").exists(), "the rollout's controller stops"
    assert live.find_versions() == ("2", "2", "2")
    with pytest.raises(VersionLeft):
        live.deploy("3")


_truly_serves = switch.serves


def _serves(answer: dict[str, Any], folder: Path, pointer: Any, waits: threading.Event) -> bool:
    if pointer.version == "3":
        waits.set()
        return False
    return _truly_serves(answer, folder, pointer)


def test_a_rollback_between_the_check_of_the_answers_and_the_alias_wins(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.deploy("1")
    live.deploy("2")
    promote = champion.promote_champion

    def roll_back_first(*arguments: Any) -> Any:
        monkeypatch.setattr(champion, "promote_champion", promote)
        go(live)
        return promote(*arguments)

    monkeypatch.setattr(champion, "promote_champion", roll_back_first)
    with pytest.raises(DeploymentStopped, match="alice: too gloomy"):
        live.deploy("3")
    assert live.find_versions() == ("2", "2", "2")


def test_it_does_not_wait_for_an_endpoint_that_is_down_and_the_endpoint_comes_back_with_it(live: Live) -> None:
    """The version that is left may be what keeps it from starting."""
    from include.declaration import Deployment
    from include.errors import EndpointUnavailable
    from tests.unit.served_models import serve

    deploy_all(live)
    live.server.stop()
    hurried = live.pipeline.model_copy(update={"deployment": Deployment(swap_seconds=0.5)})
    with pytest.raises(EndpointUnavailable, match="does not serve version 2 yet"):
        go_back(live.settings, hurried, by=BY_COMMAND, who="alice", reason="it dies", version=None)
    arguments = ("--pipeline", "rolled")
    with serve(
        live.settings.home / "run", *arguments, home=live.settings.home, port=live.settings.endpoint_port
    ) as back:
        live.server = back
        live.wait_served("2")
        assert "rollback to version 2 had been cut short" in reconcile_endpoints(live.settings, lambda _: False)
        assert live.find_versions() == ("2", "2", "2")
        assert live.list_deployments() == ["1", "2", "3", "2"]


def test_two_rollbacks_at_once_do_not_mix(live: Live) -> None:
    deploy_all(live)
    done: list[Rollback] = []
    threads = [threading.Thread(target=lambda: done.append(go(live))) for _ in range(2)]
    with hold_endpoint(live.folder, 5):
        for thread in threads:
            thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert sorted(each.version for each in done) == ["1", "2"]
    assert live.find_versions() == ("1", "1", "1")
