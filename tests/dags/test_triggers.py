"""Watching the landing folder: an event for what waits for a run, and another one when none came."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from include.contracts import Arrival, unpack
from include.errors import TollgateError


class Watching:
    """A LandingTrigger that looks at ``looks``, one after another, each ``seconds`` after the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: Sequence[Any], seconds: float) -> None:
        import tollgate_triggers

        self.clock = 0.0
        self.looks = list(looks)
        self.trigger = tollgate_triggers.LandingTrigger(pipeline="parcels", poll_seconds=seconds)
        self.changes_at = float("inf")
        monkeypatch.setattr(tollgate_triggers, "_look_for_unclaimed", self.look)
        monkeypatch.setattr(tollgate_triggers, "_stamp_folder", lambda *_: int(self.clock >= self.changes_at))
        monkeypatch.setattr(tollgate_triggers.time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(tollgate_triggers.asyncio, "sleep", self.sleep)

    def look(self, _: str) -> tuple[list[Arrival], float | None]:
        if not self.looks:
            raise KeyboardInterrupt
        found = self.looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, tuple) else (list(found), None)

    async def sleep(self, seconds: float) -> None:
        # Many short rests must sum up to a whole number of seconds.
        self.clock = round(self.clock + seconds, 6)

    def collect(self) -> list[tuple[float, str]]:
        """Second and partition of every event until the looks are used up."""
        events: list[tuple[float, str]] = []

        async def watch() -> None:
            async for event in self.trigger.run():
                events.append((self.clock, unpack(Arrival, event.payload).partition))

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(watch())
        return events


A, B = (Arrival("parcels", partition, f"/landing/{partition}.csv", 1, 1, 1) for partition in ("2013-01", "2013-02"))


def test_each_file_is_raised_once_and_again_when_nobody_took_it(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[A], [A], [A, B], *([[A, B]] * 6)]
    events = Watching(monkeypatch, looks, 60.0).collect()
    assert events == [(0.0, "2013-01"), (120.0, "2013-02"), (300.0, "2013-01"), (420.0, "2013-02")]


def test_a_file_whose_claim_was_lifted_is_raised_at_once(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Watching(monkeypatch, [[A], [], [A], [A]], 60.0).collect()
    assert events == [(0.0, "2013-01"), (120.0, "2013-01")]


def test_a_look_that_fails_forgets_nothing(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    away = TollgateError("away.", next_step="wait.")
    assert Watching(monkeypatch, [[A], away, OSError("gone"), [A]], 1.0).collect() == [(0.0, "2013-01")]


def test_the_same_name_with_other_content_is_another_arrival(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten = Arrival("parcels", "2013-01", A.path, 2, 2, 2)
    events = Watching(monkeypatch, [[A], [rewritten]], 1.0).collect()
    assert events == [(0.0, "2013-01"), (1.0, "2013-01")]


def test_a_change_of_the_folder_is_looked_at_at_once(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(monkeypatch, [[], [A], [A]], 60.0)
    watching.changes_at = 7.0
    assert watching.collect() == [(7.0, "2013-01")]
    assert watching.clock == 127.0  # the third look 60 s after the second, and a fourth that ends the test


def test_a_file_that_settles_is_looked_at_when_it_has(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, a file whose .part was too short-lived to be seen lay there until the next look of an hour."""
    assert Watching(monkeypatch, [([], 2.0), [A]], 3600.0).collect() == [(2.0, "2013-01")]
