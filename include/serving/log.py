"""Log lines of the serving process: one JSON object per line on standard output, which the supervisor keeps."""

from __future__ import annotations

import json
import sys
from typing import Any

from include.records import utc_now


def log_event(event: str, **facts: Any) -> None:
    """Write one line. A log that nobody reads any more must not stop the serving, so a closed output is ignored."""
    line = json.dumps({"at": utc_now(), "event": event, **facts}, default=str)
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        return
