"""What a declared notifier is to say beside a mail: a row of the same outbox, sent by whoever has Airflow loaded.

``outbox/pending/<id>.notice.json`` becomes ``outbox/sent/<id>.notice.json``: told at least once, and twice only when
the teller is killed between telling and noting. One that fails stays, keeps no other from going, and is counted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.mail.outbox import Delivery
from include.records import write_file_atomically
from include.settings import Settings

_SUFFIX = ".notice.json"
# A failed one is tried again after twice as long as the time before, from half a minute to an hour.
_FIRST_REST, _LONGEST_REST = 30.0, 3600.0


@dataclass(frozen=True)
class Notice:
    """One call of one notifier (``module:Class``); ``key`` makes it unique within its pipeline."""

    pipeline: str
    key: str
    notifier: str
    arguments: Mapping[str, Any]
    context: Mapping[str, str]


def _name_notice(notice: Notice) -> str:
    return hashlib.sha256(f"{notice.pipeline}\0{notice.key}".encode()).hexdigest()[:32] + _SUFFIX


def queue_notice(settings: Settings, notice: Notice) -> bool:
    """Put a notice into the outbox; False when it is there or was sent."""
    name = _name_notice(notice)
    pending = settings.outbox_root / "pending" / name
    if pending.exists() or (settings.outbox_root / "sent" / name).exists():
        return False
    document = {
        "pipeline": notice.pipeline,
        "key": notice.key,
        "notifier": notice.notifier,
        "arguments": dict(notice.arguments),
        "context": dict(notice.context),
        "tries": 0,
        "next_try": 0.0,
        "error": "",
    }
    write_file_atomically(pending, json.dumps(document, indent=1).encode())
    return True


def list_notices(settings: Settings) -> list[tuple[Path, dict[str, Any]]]:
    """Notices that were not told yet, oldest first, with their files."""
    folder = settings.outbox_root / "pending"
    paths = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns) if folder.is_dir() else []
    return [(path, json.loads(path.read_bytes())) for path in paths if not path.name.startswith(".")]


def is_due(notice: Mapping[str, Any], now: float) -> bool:
    """Whether it is time to try a notice (again)."""
    return float(notice["next_try"]) <= now


def deliver_notices(settings: Settings, tell: Callable[[Mapping[str, Any]], None]) -> Delivery:
    """Tell what is due; ``tell`` raises any error for a notifier that does not work, and the notice stays."""
    lock = settings.outbox_root / ".notices.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    told, error = 0, ""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Delivery(0, len(list_notices(settings)))
        for path, notice in list_notices(settings):
            if not is_due(notice, time.time()):
                continue
            try:
                tell(notice)
            except Exception as failure:  # noqa: BLE001 - a notifier is anybody's code; the others are told too
                error = f"{notice['notifier']}: {type(failure).__name__}: {failure}"
                tries = int(notice["tries"]) + 1
                rest = min(_FIRST_REST * 2 ** (tries - 1), _LONGEST_REST)
                again = {**notice, "tries": tries, "next_try": time.time() + rest, "error": error}
                write_file_atomically(path, json.dumps(again, indent=1).encode())
                continue
            target = settings.outbox_root / "sent" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            told += 1
    return Delivery(told, len(list_notices(settings)), error)
