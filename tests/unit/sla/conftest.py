"""A watcher on a made-up Airflow: its clock is an argument, its plan is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from include.declaration.sla import parse_limits
from include.records import write_file_atomically, write_record
from include.settings import Settings
from include.sla.airflow_state import AirflowState
from include.sla.plan import Plan, PlannedLimit, PlannedPipeline, name_plan
from include.sla.watch import Watcher
from tests.unit.sla.tables import Tables

# Some second of 2026, from which the tests count.
START = 1_790_000_000.0


def plan_limits(**limits: Any) -> PlannedPipeline:
    """The plan of the pipeline ``parcels`` with ``limits`` by name (``__`` for the dot before a task)."""
    given = {name.replace("__", "."): parse_limits(limit) for name, limit in limits.items()}
    return PlannedPipeline(
        name="parcels",
        owner=("owner@example.com",),
        limits={n: tuple(PlannedLimit(x.text, x.seconds, x.factor) for x in found) for n, found in given.items()},
        usual_runs=3,
        usual_margin=10.0,
        stops_after={"fit_candidate": 1800.0},
    )


class Scene:
    """A home, Airflow's tables and watchers that come and go."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.tables = Tables(folder)
        self.plan = plan_limits()
        self.watcher = self.start()

    def start(self) -> Watcher:
        """A new watcher, as after a kill."""
        self.watcher = Watcher(self.settings, AirflowState(self.tables.address), self._write_plan)
        return self.watcher

    def _write_plan(self) -> str:
        write_file_atomically(name_plan(self.settings), msgspec.json.encode(Plan({"parcels": self.plan})))
        return ""

    def declare(self, **limits: Any) -> None:
        """Watch by these limits from the next start on."""
        self.plan = replace(plan_limits(**limits), due=self.plan.due, freshness=self.plan.freshness)
        self.start()

    def look(self, seconds: float) -> int:
        """A look so many seconds after the start; returns the new misses."""
        return self.watcher.look(START + seconds)

    def mails(self) -> list[EmailMessage]:
        """Mails in the outbox, in the order in which they were put there."""
        paths = sorted((self.settings.outbox_root / "pending").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        found = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
        return [message for message in found if isinstance(message, EmailMessage)]

    def read_texts(self) -> list[str]:
        """Subject and text of every mail."""
        return [f"{mail['Subject']}\n{read_text(mail)}" for mail in self.mails()]

    def read_durations(self, stage: str) -> dict[str, Any]:
        """What the watcher keeps of a DAG's durations."""
        path = self.settings.home / "sla" / "durations" / f"parcels.{stage}.json"
        durations: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return durations

    def record(self, kind: str, name: str, /, **payload: Any) -> None:
        """A record of the ledger."""
        write_record(self.settings, "parcels", kind, name, payload)


def read_text(mail: EmailMessage) -> str:
    """The text part of a mail."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Scene:
    return Scene(settings, tmp_path)


Declare = Callable[..., None]
