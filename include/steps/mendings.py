"""What was put in order, and what could not be: recorded, mailed once, shown on the page and by ``make status``."""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.mail.letters import describe_disagreement, describe_mending
from include.mail.outbox import queue_mail
from include.records import read_record, utc_now, write_record
from include.settings import Settings

_KIND, _NOW = "disagreement", "now"


def note_mending(settings: Settings, pipeline: Pipeline, done: str) -> str:
    """Record and mail what was mended, and return it."""
    at = utc_now()
    write_record(settings, pipeline.name, "mending", at.replace(":", ""), {"at": at, "done": done})
    queue_mail(settings, describe_mending(settings, pipeline.name, pipeline.owner, at, done))
    return done


def note_disagreement(settings: Settings, pipeline: Pipeline, problem: str, next_step: str, *, looks: int = 1) -> str:
    """Record what cannot be mended, and mail it when it was met ``looks`` times in a row; as long as it stays the same
    it is not mailed again. Returns it."""
    known = read_record(settings, pipeline.name, _KIND, _NOW) or {}
    same = known.get("problem") == problem
    since, seen = (str(known["since"]), int(known["looks"]) + 1) if same else (utc_now(), 1)
    facts = {"problem": problem, "next_step": next_step, "since": since, "looks": seen}
    write_record(settings, pipeline.name, _KIND, _NOW, facts)
    if seen >= looks:
        queue_mail(settings, describe_disagreement(settings, pipeline.name, pipeline.owner, since, problem, next_step))
    return problem


def note_agreement(settings: Settings, pipeline: Pipeline) -> None:
    """All agree: the next disagreement is another one."""
    known = read_record(settings, pipeline.name, _KIND, _NOW)
    if known is not None and known["problem"]:
        write_record(settings, pipeline.name, _KIND, _NOW, {**known, "problem": "", "looks": 0})
