"""One step at a time per service: a rollout that looks while somebody rolls back must not undo that in the ledger.

The lock is a file beside the ledger. The cluster itself is guarded by ``resourceVersion``, whoever writes to it and
from where.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from include.deployment.file_lock import hold_lock
from include.errors import TargetBusy
from include.settings import Settings

# A step waits for a few answers of the cluster at most; publishing a version's files may take longer.
_SECONDS = 15.0


@contextlib.contextmanager
def hold_service(settings: Settings, pipeline: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Be the one who changes the pipeline's service. Raises TargetBusy when another is for longer than ``seconds``."""

    def refuse() -> TargetBusy:
        return TargetBusy(
            f"Another step of {pipeline}'s deployment is under way.",
            next_step="It is tried again.",
            target="kserve",
            endpoint=pipeline,
            state="held",
        )

    with hold_lock(settings.records_root / pipeline / "kserve.lock", seconds, refuse):
        yield
