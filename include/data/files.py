"""Files that survive a kill: flushed copies, and drafts of killed tasks swept away."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from include.records import sync_path

# A draft that nobody wrote to for this long belongs to a killed task; a live one is written all the time.
_ABANDONED_SECONDS = 6 * 3600


def copy_synced(source: Path, destination: Path) -> None:
    """Copy a file's bytes and flush them to disk."""
    shutil.copyfile(source, destination)
    sync_path(destination)


def sweep_drafts(folder: Path) -> None:
    """Remove drafts (hidden entries ending in ``.part``) that a killed task left in ``folder`` hours ago."""
    oldest = time.time() - _ABANDONED_SECONDS
    for draft in folder.glob(".*.part") if folder.is_dir() else ():
        try:
            if draft.stat().st_mtime > oldest:
                continue
            if draft.is_dir():
                shutil.rmtree(draft)
            else:
                draft.unlink()
        except FileNotFoundError:
            continue  # another task swept it
