"""Late data is told once, its arrival once, and neither many mails nor what was due before anybody watched."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from include.declaration import Sla
from include.settings import Settings
from include.sla.plan import DuePartition, list_due, plan_pipeline
from tests.unit.factory import make_data, make_pipeline
from tests.unit.sla.conftest import START, Scene


def expect(scene: Scene, *partitions: tuple[str, float], within: str = "1h") -> None:
    """Partitions that are due so many seconds after the start."""
    due = tuple(DuePartition(name, START + at - 3600, START + at) for name, at in partitions)
    scene.plan = replace(scene.plan, freshness=within, due=due)
    scene.start()


def publish(scene: Scene, partition: str, at: float, status: str = "published", **facts: Any) -> None:
    stamp = datetime.fromtimestamp(START + at, UTC).isoformat(timespec="milliseconds")
    scene.record("refresh", f"{partition}@f", partition=partition, status=status, recorded_at=stamp, **facts)


def test_late_data_is_told_once_and_its_arrival_once(scene: Scene) -> None:
    expect(scene, ("2026-08", 100.0))
    assert scene.look(0) == scene.look(99) == 0
    assert scene.look(101) == 1
    assert scene.look(103) == scene.look(9000) == 0
    publish(scene, "2026-08", 9001)
    scene.look(9002)
    scene.look(9004)
    late, arrived = scene.read_texts()
    assert "data of 2026-08 is late" in late
    assert "was due 1h after its period and is not published" in late
    assert "waits in the triggerer" in late
    assert "late data of 2026-08 has arrived" in arrived
    assert "2 h 28 min after it was due" in arrived


@pytest.mark.parametrize("at", [-500.0, 99.0])
def test_data_that_came_in_time_is_never_told(scene: Scene, at: float) -> None:
    expect(scene, ("2026-08", 100.0))
    scene.look(0)
    publish(scene, "2026-08", at)
    assert scene.look(101) == scene.look(300) == 0
    assert scene.mails() == []


def test_what_was_due_before_anybody_watched_is_history(scene: Scene) -> None:
    expect(scene, ("2026-06", -9_000_000.0), ("2026-07", -100.0), ("2026-08", 100.0))
    scene.look(0)
    assert scene.look(50) == 0
    assert scene.look(101) == 1


def test_a_killed_watcher_tells_what_became_due_meanwhile_and_nothing_twice(scene: Scene) -> None:
    expect(scene, ("2026-07", 100.0), ("2026-08", 200.0), ("2026-09", 300.0))
    scene.look(0)
    assert scene.look(101) == 1
    publish(scene, "2026-08", 250)
    scene.start()
    assert scene.look(1000) == 2
    scene.start()
    assert scene.look(1001) == 0
    texts = scene.read_texts()
    assert ["2026-07" in text for text in texts] == [True, False, False]
    assert "It was published at" in texts[1] and "late by 50.0 s" in texts[1]


def test_many_at_once_are_one_mail(scene: Scene) -> None:
    expect(scene, *((f"minute-{k:02d}", 60.0 * k) for k in range(1, 40)))
    scene.look(0)
    scene.look(4000)
    (text,) = scene.read_texts()
    assert "data of 39 partitions is late" in text
    for k in range(1, 40):
        publish(scene, f"minute-{k:02d}", 4100)
    scene.look(4200)
    assert "late data of 39 partitions has arrived" in scene.read_texts()[1]
    assert len(scene.mails()) == 2


def test_a_file_that_was_blocked_is_not_fresh_data(scene: Scene) -> None:
    expect(scene, ("2026-08", 100.0))
    scene.look(0)
    publish(scene, "2026-08", 50, status="blocked", reason="5767 flights without a carrier <b>")
    assert scene.look(101) == 1
    assert "A file came and was blocked: 5767 flights without a carrier <b>" in scene.read_texts()[0]
    html = scene.mails()[0].get_body(("html",))
    assert html is not None
    assert "carrier &lt;b&gt;" in html.get_content()


def test_partitions_are_due_after_their_period_within_what_is_declared(settings: Settings) -> None:
    data = {"schedule": "0 0 1 * *", "first": "2026-01", "last": "2026-08"}
    now = datetime(2026, 9, 10, tzinfo=UTC).timestamp()
    planned = plan_pipeline(settings, make_pipeline(data=data, sla=Sla(freshness="2d")), now)
    assert [due.partition for due in planned.due] == ["2026-07", "2026-08"]
    last = planned.due[-1]
    assert datetime.fromtimestamp(last.end, UTC) == datetime(2026, 9, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(last.due, UTC) == datetime(2026, 9, 3, tzinfo=UTC)


def test_a_schedule_of_minutes_costs_no_more_than_the_newest_of_them() -> None:
    data = make_data(schedule="* * * * *", partition_format="%Y-%m-%dT%H%M", first="2026-01-01T0000")
    now = datetime(2026, 9, 10, tzinfo=UTC).timestamp()
    due = list_due(data, 30.0, now)
    assert len(due) == 500
    assert due[-1].due > now + 7000, "those of the next hours are there"
    assert [b.due - a.due for a, b in itertools.pairwise(due)] == [60.0] * 499
