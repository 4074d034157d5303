"""A version to a service and back, step by step: real registry and models, AWS in memory."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from include.contracts import RunIdentity
from include.declaration import Approval
from include.deployment.left import find_left
from include.deployment.target import Progress
from include.errors import AnswersDiffer, NotBlessed, RolledBack, TargetBusy, TerminalError, VersionLeft
from include.records import list_records
from include.settings import Settings
from include.steps.by_hand import deploy_by_hand, retire_by_hand
from include.steps.hosted import begin_rollout, finish_rollout, look_at_rollout
from include.steps.hosted_order import compare_hosted
from include.steps.hosted_rollback import begin_rollback, finish_rollback, go_back_and_wait
from include.tracking.client import open_client
from include.tracking.registry import get_champion, get_version
from tests.unit.cloud.fake_aws import FakeAws
from tests.unit.deployment.hosted import declare_pipeline
from tests.unit.factory import make_pipeline
from tests.unit.served_models import fit_scorer
from tests.unit.steps.live import forget_aliases


class Loop:
    """One pipeline with three registered versions, and the steps of its DAGs."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings, self.pipeline, self.aws = settings, declare_pipeline(name), FakeAws()
        toy = make_pipeline(name)
        self._scorers = {str(number): fit_scorer(toy, seed=number) for number in (1, 2, 3)}
        self.aws.score = self.score

    def score(self, version: str, rows: list[dict[str, Any]]) -> list[float]:
        frame = pd.DataFrame(rows)
        for name, column in self.pipeline.request.columns.items():
            if column.type == "number":
                frame[name] = frame[name].astype("float64")
        return [float(each) for each in self._scorers[version].predict(frame)]

    def begin(self, number: str, run: str = "") -> Progress:
        version = get_version(self.settings, self.pipeline.name, number)
        return begin_rollout(self.settings, self.pipeline, version, self.identify(number, run), "Blessed.", self.aws)

    def identify(self, number: str, run: str = "") -> RunIdentity:
        return RunIdentity(f"{self.pipeline.name}.deploy_model", run or f"run-{number}", "shift_traffic")

    def finish(self, number: str) -> Any:
        version = get_version(self.settings, self.pipeline.name, number)
        return finish_rollout(self.settings, self.pipeline, version, self.identify(number), "Blessed.", self.aws)

    def deploy(self, number: str) -> Any:
        self.begin(number)
        self.aws.settle()
        return self.finish(number)

    def champion(self) -> str | None:
        found = get_champion(self.settings, self.pipeline.name)
        return found.version if found else None

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for _, record in list_records(self.settings, self.pipeline.name, kind)]

    def mails(self) -> list[str]:
        return [path.read_text() for path in (self.settings.outbox_root / "pending").glob("*.eml")]


@pytest.fixture
def loop(tracked: Settings, three_versions: str) -> Loop:
    forget_aliases(tracked, three_versions)
    return Loop(tracked, three_versions)


def test_a_version_is_proved_recorded_once_and_made_champion(loop: Loop) -> None:
    loop.begin("1")
    with pytest.raises(TargetBusy):
        loop.finish("1")
    assert loop.champion() is None
    loop.aws.settle()
    first = loop.finish("1")
    assert loop.finish("1") == first, "a second try finds what the first did"
    assert (first.target, first.version, first.previous_version) == ("sagemaker", "1", None)
    assert loop.champion() == "1" and len(loop.records("deployment")) == 1
    second = loop.deploy("2")
    assert second.previous_version == "1" and loop.champion() == "2"
    assert compare_hosted(loop.settings, loop.pipeline, loop.aws) == ""


def test_a_rollback_of_the_service_is_written_down_once_and_moves_no_alias(loop: Loop) -> None:
    loop.deploy("1")
    loop.begin("2")
    loop.aws.settle("alarm x-5xx is in ALARM state")
    for _ in range(2):
        with pytest.raises(RolledBack, match="x-5xx"):
            look_at_rollout(loop.settings, loop.pipeline, "2", loop.aws)
    with pytest.raises(RolledBack):
        loop.finish("2")
    (record,) = loop.records("rollout")
    assert (record["version"], record["champion"], record["outcome"]) == ("2", "1", "rolled back")
    assert loop.champion() == "1" and [each["version"] for each in loop.records("deployment")] == ["1"]


def test_answers_that_differ_have_the_version_before_asked_for_again(loop: Loop) -> None:
    loop.deploy("1")
    loop.begin("2")
    loop.aws.settle()
    right = loop.aws.score
    loop.aws.score = lambda version, rows: [each + 0.01 for each in right(version, rows)]
    with pytest.raises(AnswersDiffer, match="Version 1 was asked for again"):
        loop.finish("2")
    loop.aws.settle()
    assert look_at_rollout(loop.settings, loop.pipeline, "1", loop.aws).state == "live"
    assert loop.champion() == "1"


def test_a_person_goes_back_and_registry_ledger_and_mail_say_so(loop: Loop) -> None:
    loop.deploy("1")
    loop.deploy("2")
    given = {"by": "rolled.rollback/run", "who": "alice", "reason": "too gloomy"}
    begun = begin_rollback(loop.settings, loop.pipeline, **given, version=None, connection=loop.aws)
    assert (begun.version, begun.previous_version) == ("1", "2")
    again = begin_rollback(loop.settings, loop.pipeline, **given, version=None, connection=loop.aws)
    assert again.place == begun.place
    with pytest.raises(TargetBusy):
        finish_rollback(loop.settings, loop.pipeline, begun, **given, connection=loop.aws)
    assert loop.champion() == "2"
    loop.aws.settle()
    done = finish_rollback(loop.settings, loop.pipeline, begun, **given, connection=loop.aws)
    assert (done.left, done.version, done.problems) == ("2", "1", ())
    assert "stored rows got the answers" in done.checked
    assert loop.champion() == "1"
    left = find_left(loop.settings, loop.pipeline.name, "2")
    assert left is not None and (left.who, left.reason) == ("alice", "too gloomy")
    assert loop.records("deployment")[-1]["rolled_back_from"] == "2"
    assert any("alice rolled back" in mail for mail in loop.mails())
    with pytest.raises(VersionLeft):
        loop.begin("2", run="another")


def test_from_a_shell_going_back_returns_once_it_is_live(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.deploy("1")
    loop.deploy("2")
    monkeypatch.setattr("include.steps.hosted_rollback.time.sleep", lambda _: loop.aws.settle())
    given = {"by": "a command", "who": "alice", "reason": "too gloomy"}
    done = go_back_and_wait(loop.settings, loop.pipeline, **given, version=None, connection=loop.aws)
    assert (done.left, done.version, loop.champion()) == ("2", "1", "1")


def test_only_a_blessed_version_is_gone_back_to(loop: Loop) -> None:
    loop.deploy("1")
    loop.deploy("2")
    with open_client(loop.settings) as client:
        client.set_model_version_tag(loop.pipeline.name, "1", "tollgate.blessing", "revoked")
    given = {"by": "rolled.rollback/run", "who": "alice", "reason": "why"}
    with pytest.raises(NotBlessed):
        begin_rollback(loop.settings, loop.pipeline, **given, version="1", connection=loop.aws)


def test_a_service_that_serves_something_else_is_told_about_and_not_touched(loop: Loop) -> None:
    loop.deploy("1")
    loop.begin("2")
    loop.aws.settle()
    changes = loop.aws.list_changes()
    told = compare_hosted(loop.settings, loop.pipeline, loop.aws)
    assert "serves version 2; the registry's champion is version 1" in told
    assert not any("serves version 2" in mail for mail in loop.mails()), "met once it may be a rollout that ends"
    compare_hosted(loop.settings, loop.pipeline, loop.aws)
    assert any("serves version 2" in mail for mail in loop.mails())
    assert loop.aws.list_changes() == changes


@pytest.mark.slow
def test_from_a_shell_a_version_passes_the_same_gates_and_goes_live(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.steps.by_hand._LOOK_SECONDS", 0.01)
    looks = 0

    def go_on(moment: str, _service: str, operation: str, _parameters: Any) -> None:
        nonlocal looks
        if (moment, operation) == ("before", "describe_endpoint"):
            looks += 1
            if looks == 4:
                loop.aws.settle()

    loop.aws.intercept = go_on
    done = deploy_by_hand(loop.settings, loop.pipeline, "1", "alice", loop.aws)
    assert (done.version, loop.champion()) == ("1", "1") and "alice" in done.reason
    assert loop.records("latency")[-1]["passed"]
    with open_client(loop.settings) as client:
        client.set_model_version_tag(loop.pipeline.name, "2", "tollgate.blessing", "refused")
    with pytest.raises(NotBlessed):
        deploy_by_hand(loop.settings, loop.pipeline, "2", "alice", loop.aws)
    retire_by_hand(loop.settings, loop.pipeline, "alice", loop.aws)
    loop.aws.intercept = lambda *_: None
    loop.aws.settle()
    assert loop.aws.endpoints == {}
    assert compare_hosted(loop.settings, loop.pipeline, loop.aws) == "", "it was meant"


def test_from_a_shell_nobody_gets_past_a_persons_approval(loop: Loop) -> None:
    deployment = loop.pipeline.deployment.model_copy(update={"approval": Approval()})
    asked = loop.pipeline.model_copy(update={"deployment": deployment})
    with pytest.raises(TerminalError, match="person's approval"):
        deploy_by_hand(loop.settings, asked, "1", "alice", loop.aws)
    assert loop.aws.calls == []
