"""The newest missed SLAs of a pipeline, as the page and the status show them."""

from __future__ import annotations

from typing import Any

from include.records import list_records
from include.settings import Settings

_NEWEST = 3


def list_newest_misses(settings: Settings, pipeline: str) -> list[dict[str, Any]]:
    """``at``, ``said`` (the mail's headline) and ``url`` of each, newest first; data that came after all is one too."""
    records = [record for _, record in list_records(settings, pipeline, "sla")][-_NEWEST:]
    return [
        {
            "at": record["recorded_at"],
            "said": record["mail"]["headline"],
            "url": record["mail"]["links"][0][1] if record["mail"]["links"] else "",
        }
        for record in reversed(records)
    ]
