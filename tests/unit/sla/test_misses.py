"""A miss is on disk before anybody is told, and a kill at any instant neither loses nor doubles it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import include.sla.misses
from include.mail.notices import deliver_notices, list_notices
from include.mail.outbox import deliver_pending
from include.sla.misses import list_misses
from include.sla.plan import PlannedNotifier
from tests.unit.sla.conftest import START, Scene

TRAIN = "parcels.train_model"


class Killed(BaseException):
    """A SIGKILL, as far as Python can show one: nobody catches it."""


def be_late(scene: Scene) -> None:
    scene.look(0)
    scene.tables.put_run(1, TRAIN, queued_at=START, start_date=START)


@pytest.mark.parametrize("place", ["create_record", "queue_mail", "queue_notice", "write_record"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_the_next_watcher_tells_it_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, place: str, after: bool
) -> None:
    scene.plan = replace(scene.plan, notifiers=(PlannedNotifier("some.module:Teller", {"text": "x"}),))
    scene.plan = replace(scene.plan, limits=declare_run(scene))
    scene.start()
    be_late(scene)
    real = getattr(include.sla.misses, place)

    def die(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(include.sla.misses, place, die)
        with pytest.raises(Killed):
            scene.look(1801)
    scene.start()
    scene.look(1900)
    scene.look(1902)
    assert len(scene.mails()) == 1
    assert len(list_notices(scene.settings)) == 1
    (miss,) = list_misses(scene.settings, "parcels")
    assert miss["queued"]


def declare_run(scene: Scene) -> Any:
    from tests.unit.sla.conftest import plan_limits

    return plan_limits(train_model="30m").limits


def test_the_same_miss_has_the_same_message_id_after_it_was_sent(scene: Scene) -> None:
    scene.declare(train_model="30m")
    be_late(scene)
    scene.look(1801)
    sent: list[str] = []
    assert deliver_pending(scene.settings, lambda message: sent.append(str(message["Message-ID"]))).sent == 1
    for path in (scene.settings.records_root / "parcels" / "sla").glob("*.json"):
        path.unlink()  # as if the record had been lost, and the outbox not
    scene.start()
    scene.look(1900)
    assert deliver_pending(scene.settings, lambda message: sent.append(str(message["Message-ID"]))).sent == 0
    assert len(sent) == 1


def test_a_record_says_what_was_missed_and_when(scene: Scene) -> None:
    scene.declare(train_model="30m")
    be_late(scene)
    scene.look(1801)
    (miss,) = list_misses(scene.settings, "parcels")
    assert (miss["kind"], miss["run_id"], miss["limit"]) == ("run", "run_1", "30m")
    assert (miss["since"], miss["due"], miss["noticed"]) == (START, START + 1800, START + 1801)


def test_a_declared_notifier_is_told_what_the_mail_says_and_keeps_no_other_from_it(scene: Scene) -> None:
    notifiers = (PlannedNotifier("broken:Teller"), PlannedNotifier("good:Teller", {"channel": "#ml"}))
    scene.plan = replace(scene.plan, notifiers=notifiers, limits=declare_run(scene))
    scene.start()
    be_late(scene)
    scene.look(1801)
    told: list[Any] = []

    def tell(notice: Any) -> None:
        if notice["notifier"] == "broken:Teller":
            raise ModuleNotFoundError("No module named 'broken'")
        told.append(notice)

    delivery = deliver_notices(scene.settings, tell)
    assert (delivery.sent, delivery.pending) == (1, 1)
    assert "broken:Teller: ModuleNotFoundError" in delivery.error
    assert told[0]["arguments"] == {"channel": "#ml"}
    context = told[0]["context"]
    assert context["subject"] == "[Tollgate] parcels: train_model missed its SLA of 30m"
    assert (context["kind"], context["run_id"], context["pipeline"]) == ("run", "run_1", "parcels")
    assert context["url"].endswith(f"/dags/{TRAIN}/runs/run_1")
    # It waits before it is tried again, and says why it is still there.
    assert deliver_notices(scene.settings, tell) == replace(delivery, sent=0, error="")
    ((path, left),) = list_notices(scene.settings)
    assert left["tries"] == 1 and "ModuleNotFoundError" in left["error"]
    path.write_text(json.dumps({**left, "next_try": 0}))
    assert deliver_notices(scene.settings, told.append).pending == 0
    assert len(told) == 2
