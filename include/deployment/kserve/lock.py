"""One step at a time per service: a rollout that looks while somebody rolls back must not undo that in the ledger.

The lock is a file beside the ledger, which the kernel lets go when its holder dies. The cluster itself is guarded by
``resourceVersion``, whoever writes to it and from where.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator

from include.errors import TargetBusy
from include.records import make_folder
from include.settings import Settings

# A step waits for a few answers of the cluster at most; publishing a version's files may take longer.
_SECONDS = 15.0


@contextlib.contextmanager
def hold_service(settings: Settings, pipeline: str, seconds: float = _SECONDS) -> Iterator[None]:
    """Be the one who changes the pipeline's service. Raises TargetBusy when another is for longer than ``seconds``."""
    folder = settings.records_root / pipeline
    make_folder(folder)
    deadline = time.monotonic() + seconds
    with (folder / "kserve.lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TargetBusy(
                        f"Another step of {pipeline}'s deployment is under way.",
                        next_step="It is tried again.",
                        target="kserve",
                        endpoint=pipeline,
                        state="held",
                    ) from None
                time.sleep(0.02)
        yield
