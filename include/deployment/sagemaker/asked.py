"""What was asked of an endpoint last, in the ledger: SageMaker itself forgets it once it has rolled back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.contracts import pack
from include.records import read_record, write_record
from include.settings import Settings

_KIND, _NOW = "asked", "now"


@dataclass(frozen=True)
class Asked:
    """``config`` was to be live instead of ``before``; ``seen`` is the endpoint's LastModifiedTime just before that, by
    which a request that never arrived is told from one that was taken and rolled back."""

    version: str
    config: str
    before: str | None
    by: str
    reason: str
    seen: str
    at: str


def note_asked(settings: Settings, pipeline_name: str, asked: Asked) -> None:
    """Write down what is about to be asked for."""
    write_record(settings, pipeline_name, _KIND, _NOW, pack(asked))


def read_asked(settings: Settings, pipeline_name: str) -> Asked | None:
    """What was asked for last, or None."""
    record: dict[str, Any] | None = read_record(settings, pipeline_name, _KIND, _NOW)
    if record is None:
        return None
    return Asked(**{name: record[name] for name in Asked.__dataclass_fields__})
