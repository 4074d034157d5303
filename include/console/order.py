"""What was put in order between registry, pointer and endpoint, and what could not be."""

from __future__ import annotations

from typing import Any

from include.records import list_records, read_record
from include.settings import Settings

# More would push what is served out of sight; all of them stay in the ledger.
_SHOWN = 3


def list_mendings(settings: Settings, pipeline: str) -> list[dict[str, str]]:
    """The last few mendings, newest first: ``at`` and what was ``done``."""
    found = [{"at": str(m["at"]), "done": str(m["done"])} for _, m in list_records(settings, pipeline, "mending")]
    return found[::-1][:_SHOWN]


def find_disagreement(settings: Settings, pipeline: str) -> dict[str, str] | None:
    """What takes a person: ``problem``, ``since`` and ``next_step``; None when all agree."""
    known: dict[str, Any] | None = read_record(settings, pipeline, "disagreement", "now")
    if known is None or not known["problem"]:
        return None
    return {name: str(known[name]) for name in ("problem", "since", "next_step")}
