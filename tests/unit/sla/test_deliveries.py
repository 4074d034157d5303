"""From refresh to served: judged by what the ledger says of everything that a run took in."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.unit.sla.conftest import START, Scene

REFRESH = "parcels.data_refresh"


def stamp(at: float) -> str:
    return datetime.fromtimestamp(START + at, UTC).isoformat(timespec="milliseconds")


def refresh(scene: Scene, status: str = "published", number: int = 1, seconds: float = 60.0) -> None:
    """A run that took in a partition and is over."""
    times = {"queued_at": START, "start_date": START, "end_date": START + seconds}
    scene.tables.put_run(number, REFRESH, "success", **times)
    scene.record(
        "refresh",
        f"2026-0{number}@f",
        partition=f"2026-0{number}",
        fingerprint=f"f{number}",
        version=f"v{number}",
        rows=1000,
        status=status,
        reason="bad",
        run_id=f"run_{number}",
    )


def deploy(scene: Scene, at: float, number: int = 1) -> None:
    """Its training was blessed and its model is live."""
    by = f"parcels.train_model/t{number}"
    used = {f"2026-0{number}": f"v{number}"}
    scene.record("training", f"w{number}", claimed_by=by, key=f"2026-0{number}", partitions=used)
    scene.record(
        "blessing",
        f"m{number}",
        run_id=f"t{number}",
        partition=f"2026-0{number}",
        blessed=True,
        candidate="trees",
        metrics={},
        reasons=[],
        champion_version=None,
        recorded_at=stamp(at - 10),
    )
    scene.record(
        "deployment",
        f"d{number}",
        partition=f"2026-0{number}",
        version=str(number),
        by="d",
        rolled_back_from=None,
        recorded_at=stamp(at),
    )


def test_a_refresh_that_is_not_served_in_time_is_told_once_with_where_it_is(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    refresh(scene)
    assert scene.look(100) == scene.look(599) == 0
    assert scene.look(606) == 1
    assert scene.look(700) == 0
    text = scene.read_texts()[0]
    assert "a refresh is not served within 10m" in text
    assert "2026-01 is published" in text


def test_one_that_hangs_in_its_own_run_is_told_too(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    scene.tables.put_run(1, REFRESH, queued_at=START, start_date=START)
    scene.look(10)
    assert scene.look(606) == 1
    assert "its data_refresh is under way" in scene.read_texts()[0]


def test_what_was_served_in_time_is_usual_and_never_told(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    refresh(scene)
    scene.look(100)
    deploy(scene, 300.0)
    assert scene.look(310) == scene.look(5000) == 0
    assert scene.read_durations("data_refresh")["served"] == [[1000, 300.0]]


def test_one_that_was_served_late_while_nobody_watched_is_told(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    refresh(scene)
    deploy(scene, 900.0)
    scene.start()
    assert scene.look(2000) == 1
    assert "a refresh was served late, after 15 min 0 s" in scene.read_texts()[0]


def test_what_was_blocked_on_the_way_is_not_late(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    refresh(scene, status="blocked")
    assert scene.look(100) == scene.look(5000) == 0


def test_one_that_waited_for_its_data_has_its_time_from_the_arrival_on(scene: Scene) -> None:
    scene.declare(refresh_to_served="10m")
    scene.look(0)
    run_id = scene.tables.put_run(1, REFRESH, queued_at=START, start_date=START)
    scene.tables.put_task(REFRESH, run_id, "find_arrivals", "deferred", start_date=START, next_method="resume")
    assert scene.look(50_000) == 0
    scene.tables.put_task(REFRESH, run_id, "find_arrivals", "success", start_date=START, end_date=START + 50_001)
    assert scene.look(50_010) == 0
    assert scene.look(50_607) == 1
