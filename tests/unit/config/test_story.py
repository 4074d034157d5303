"""What a story makes of a refresh that was landed before, or of which nothing more will come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config import story as story_module
from config.environment import Site, load_site
from config.run import _list_failures
from config.story import UNDECIDED, Step, play_story
from include.console.history import HistoryRow
from include.declaration import Pipeline


class QuietAirflow:
    """No run is queued or running, and none failed."""

    def list_runs(self, dag_id: str) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def play(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Step, list[str]]]:
    """Play a story of one refresh that the history says an outcome of; returns its step and what was said."""
    site: Site = load_site({"TOLLGATE_HOME": str(tmp_path / "home"), "TOLLGATE_PORT_BASE": "33000"})
    site.run_folder.mkdir(parents=True)
    file = tmp_path / "2013-01.csv"
    file.write_text("a\n1\n")
    monkeypatch.setattr(story_module, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(story_module, "_load_writer", lambda _: lambda *_: iter([("2013-01", "", file)]))

    def play(outcome: str) -> tuple[Step, list[str]]:
        row = HistoryRow("2013-01", "f", "at", 1, 0, outcome, "Why.", training="parcels.train_model/run-1")
        monkeypatch.setattr(story_module, "_find_row", lambda *_: row)
        said: list[str] = []
        (step,) = play_story(site, pipeline, QuietAirflow(), None, said.append)  # type: ignore[arg-type]
        return step, said

    return play


def test_a_training_that_was_stopped_before_is_said_and_fails(play: Callable[[str], tuple[Step, list[str]]]) -> None:
    step, said = play("stopped")
    assert (step.outcome, step.why) == ("stopped", "Why. Trigger parcels.train_model to try again.")
    assert " stopped before …" in said
    assert _list_failures([step]) == ["2013-01: stopped. Why. Trigger parcels.train_model to try again."]


def test_a_training_on_which_nobody_works_is_no_verdict(play: Callable[[str], tuple[Step, list[str]]]) -> None:
    step, _ = play("training")
    assert step.outcome in UNDECIDED
    assert "parcels.train_model/run-1" in step.why
    assert len(_list_failures([step])) == 1


@pytest.mark.parametrize("outcome", ["deployed", "too slow", "not deployed"])
def test_what_was_judged_before_is_not_waited_for(play: Callable[[str], tuple[Step, list[str]]], outcome: str) -> None:
    step, said = play(outcome)
    assert (step.outcome, step.why) == (outcome, "Why.")
    assert " judged before …" in said
    assert _list_failures([step]) == []
