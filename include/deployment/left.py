"""Versions that were rolled back from: they come back only when somebody asks for them by their number.

The note is in the ledger, not in the registry, so that it can be made while MLflow is down.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.contracts import pack
from include.errors import VersionLeft
from include.records import read_record, utc_now, write_record
from include.settings import Settings

_KIND = "left"


@dataclass(frozen=True)
class Left:
    """The version that was left, for which one, by whom and why. ``at`` is ISO 8601 in UTC."""

    version: str
    instead: str
    who: str
    reason: str
    at: str


def note_left(settings: Settings, pipeline_name: str, left: Left) -> None:
    """Remember that a version was left."""
    write_record(settings, pipeline_name, _KIND, left.version, {**pack(left), "asked_for_again_at": None})


def find_left(settings: Settings, pipeline_name: str, version: str) -> Left | None:
    """Who left the version and why; None when nobody did, or when it was asked for again since."""
    record = read_record(settings, pipeline_name, _KIND, version)
    if record is None or record["asked_for_again_at"] is not None:
        return None
    return Left(**{name: str(record[name]) for name in ("version", "instead", "who", "reason", "at")})


def allow_again(settings: Settings, pipeline_name: str, version: str) -> None:
    """Somebody asks for the version by its number, or it was not left after all: it may be served again."""
    record = read_record(settings, pipeline_name, _KIND, version)
    if record is not None and record["asked_for_again_at"] is None:
        write_record(settings, pipeline_name, _KIND, version, {**record, "asked_for_again_at": utc_now()})


def describe_left(left: Left) -> str:
    """A sentence about it."""
    return f"Version {left.version} was rolled back from by {left.who}: {left.reason}"


def refuse_left(settings: Settings, pipeline_name: str, version: str) -> None:
    """Raise VersionLeft for a version that was left and that nobody asked for since."""
    left = find_left(settings, pipeline_name, version)
    if left is not None:
        raise VersionLeft(
            f"{describe_left(left).rstrip('.')}. It is not deployed again by itself.",
            next_step=f"If it is to come back, trigger {pipeline_name}.deploy_model with version={version}.",
            pipeline=pipeline_name,
            version=version,
            left_at=left.at,
        )
