"""What was asked of KServe, in the ledger: kept before the cluster is asked, so that a try after a kill goes on with it.

Nothing of it is kept in the cluster: KServe hands a service's annotations on to its revisions, and would make another
revision for every note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from include.contracts import pack, unpack
from include.records import read_record, write_record
from include.settings import Settings

_KIND = "kserve"


@dataclass(frozen=True)
class Change:
    """One version's way to customers. Times are seconds since the epoch.

    ``manifest`` is what serves it, ``restore`` what served before (None: nothing did), of ``previous_version`` and
    ``previous_release``; ``earlier_version`` is what rolling back from it goes to. ``observed`` gives, for each
    percentage asked for ("none": no canary), KServe's observed generation before it was; ``reached`` when KServe first
    showed it. ``unhealthy_since`` is of the version while it is being brought up. ``failed`` is why it is taken back,
    ``ended`` "live" or "taken back".
    """

    version: str
    release: str
    manifest: Mapping[str, Any]
    previous_version: str | None
    previous_release: str | None
    restore: Mapping[str, Any] | None
    earlier_version: str | None
    kind: Literal["deploy", "rollback"]
    by: str
    reason: str
    began_at: float
    observed: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, float] = field(default_factory=dict)
    unhealthy_since: float | None = None
    failed: str = ""
    failed_at: float | None = None
    stage: str = ""
    ended: Literal["", "live", "taken back"] = ""


def name_percent(percent: int | None) -> str:
    """How a percentage is written in ``observed`` and ``reached``."""
    return "none" if percent is None else str(percent)


def note_change(settings: Settings, pipeline: str, change: Change) -> None:
    """Keep it, in the place of what was known of the same version."""
    write_record(settings, pipeline, _KIND, change.version, pack(change))


def read_change(settings: Settings, pipeline: str, version: str | None) -> Change | None:
    """The last change to ``version``; None when there was none."""
    record = read_record(settings, pipeline, _KIND, version) if version is not None else None
    return unpack(Change, record) if record is not None else None
