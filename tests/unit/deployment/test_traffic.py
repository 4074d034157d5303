"""One stage of a rollout, with an endpoint that is made up: what it says decides, and its order is gone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from include.declaration import AutoRollback, Deployment, Pipeline, Rollout
from include.deployment.local import traffic
from include.deployment.local.candidate import Candidate
from include.deployment.local.client import Endpoint, Reply
from include.deployment.local.stages import Stage
from include.deployment.local.traffic import TrafficShift
from include.errors import RolledBack
from include.pointer import Pointer, write_pointer
from include.rollout import locate_rollout, read_rollout
from include.settings import Settings

CHAMPION = Pointer("1", "models/1", "2013-01", "2013-01-01T00:00:00+00:00", "a test", "because")

Run = Callable[..., None]


@pytest.fixture
def run(settings: Settings, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one stage; ``look`` is called with the order's id and gives what the endpoint says of itself."""
    write_pointer(tmp_path, CHAMPION)

    def run_stage(look: Callable[[str], dict[str, Any]], **declared: Any) -> None:
        rollout = Rollout(auto_rollback_configuration=AutoRollback(minimum_requests=10), **declared)
        changed = pipeline.model_copy(update={"deployment": Deployment(rollout=rollout)})
        shift = TrafficShift(settings, changed, "2", Endpoint("", 0), tmp_path, CHAMPION)

        def ask(*_: Any, **__: Any) -> Reply:
            order = read_rollout(tmp_path)
            worker = {"slot": 0, "rollout": order and {"id": order.id, "share_percent": order.share_percent}}
            return Reply(200, {"workers": [worker], "candidates": {}, **look(shift.id)})

        monkeypatch.setattr(traffic, "ask", ask)
        process = cast("Any", SimpleNamespace(poll=lambda: None))
        shift.run_stage(Stage("canary", 10, 0), Candidate("candidate.sock", process, tmp_path / "log"))

    return run_stage


def count(**outcomes: int) -> dict[str, Any]:
    return {"candidates": {"2": {"customer": {"outcomes": outcomes}}}}


def test_a_stage_passes_once_enough_requests_were_answered(run: Run) -> None:
    looks = iter([count(answered=1), count(answered=5), *[count(answered=15)] * 100])
    run(lambda _id: next(looks))


def test_a_candidate_does_not_pass_on_requests_that_the_champion_fails_with_too(run: Run) -> None:
    with pytest.raises(RolledBack, match="fewer than the 10 requests came that it takes to judge") as caught:
        run(lambda _id: count(answered=9, both_refused=500), maximum_execution_timeout_in_seconds=1.0)
    assert caught.value.failed == 0
    assert caught.value.next_step.startswith("It cost no customer an answer.")


def test_an_endpoint_that_cannot_follow_takes_the_version_back_at_once_and_says_why(run: Run, tmp_path: Path) -> None:
    def look(rollout_id: str) -> dict[str, Any]:
        other = {"slot": 0, "rollout": None, "rollout_error": {"id": "another", "message": "of another rollout"}}
        refused = {"slot": 1, "rollout": None, "rollout_error": {"id": rollout_id, "message": "there is no row left."}}
        return {"workers": [other, refused]}

    with pytest.raises(RolledBack, match="does not follow it: there is no row left") as caught:
        run(look)
    assert caught.value.statistic == "endpoint_refused"
    assert caught.value.seconds < 5
    assert not locate_rollout(tmp_path).exists()
