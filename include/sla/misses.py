"""Misses: each is one record, written before anybody is told, so that none is lost and none is told twice.

``records/<pipeline>/sla/<mail id>.json`` holds what was missed and the mail about it. The record is made exclusively;
then the mail, and a notice for each declared notifier, go into the outbox, which knows them by the same id; then the
record says ``queued``. A watcher that was killed in between finishes that when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from include.mail.compose import Mail, make_mail_id
from include.mail.notices import Notice, queue_notice
from include.mail.outbox import queue_mail
from include.records import create_record, list_records, read_record, write_record
from include.settings import Settings
from include.sla.plan import PlannedPipeline

KIND = "sla"


def record_miss(settings: Settings, plan: PlannedPipeline, mail: Mail, facts: Mapping[str, Any]) -> bool:
    """Write a miss down and queue what is to be told of it; False when it was written down before."""
    name = make_mail_id(mail)
    context = {name: str(value) for name, value in facts.items() if name in ("kind", "dag_id", "run_id", "task_id")}
    context |= {"pipeline": plan.name, "subject": mail.subject, "text": "\n".join((mail.headline, *mail.lines))}
    context["url"] = mail.links[0][1] if mail.links else ""
    payload = {
        **facts,
        "mail": asdict(mail),
        "notices": [asdict(notifier) for notifier in plan.notifiers],
        "context": context,
        "queued": False,
    }
    if not create_record(settings, plan.name, KIND, name, payload):
        return False
    _queue(settings, plan.name, name)
    return True


def _queue(settings: Settings, pipeline: str, name: str) -> None:
    record = read_record(settings, pipeline, KIND, name)
    if record is None or record["queued"]:
        return
    mail = _restore_mail(record["mail"])
    queue_mail(settings, mail)
    for number, notifier in enumerate(record["notices"]):
        key = f"{mail.key}/{number}/{notifier['name']}"
        queue_notice(
            settings, Notice(pipeline, key, notifier["name"], dict(notifier["arguments"]), dict(record["context"]))
        )
    write_record(settings, pipeline, KIND, name, {**record, "queued": True, "recorded_at": record["recorded_at"]})


def _restore_mail(stored: Mapping[str, Any]) -> Mail:
    fields = dict(stored)
    for name in ("to", "lines"):
        fields[name] = tuple(fields[name])
    for name in ("facts", "links"):
        fields[name] = tuple((str(label), str(value)) for label, value in fields[name])
    return Mail(**fields)


def queue_left(settings: Settings, pipelines: Iterable[str]) -> None:
    """Queue what a watcher that was killed had written down and not queued yet."""
    for pipeline in pipelines:
        for name, record in list_records(settings, pipeline, KIND):
            if not record["queued"]:
                _queue(settings, pipeline, name)


def list_misses(settings: Settings, pipeline: str) -> list[dict[str, Any]]:
    """Every miss of a pipeline, oldest first."""
    return [record for _, record in list_records(settings, pipeline, KIND)]
