"""The folder of one pipeline's captured requests: who may touch what, and how much of the disk it takes at most.

``open/`` holds segments, beside it are the Parquet files. ``.lock`` is held for moments, to allocate and to claim;
``.convert.lock`` by the one process that converts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from include.serving.capture.segment import Segment, claim_segment, create_segment, hold_lock

MEBIBYTE = 1024 * 1024


class NoRoom(Exception):
    """The bound of the disk is reached, and there is nothing older to remove."""


def prepare_folder(folder: Path) -> Path:
    """Make the folders, readable by nobody else; gives that of the segments. Raises OSError."""
    for each in (folder.parent, folder, folder / "open"):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "open"


def allocate_segment(folder: Path, size: int, most: int) -> Segment:
    """A new segment, with the oldest Parquet files removed so that all takes at most ``most`` bytes, even while a
    segment of this size is being converted. Raises NoRoom and OSError."""
    opened = prepare_folder(folder)
    with hold_lock(folder / ".lock"):
        make_room(folder, most - 2 * size)
        return create_segment(opened, size)


def make_room(folder: Path, most: int) -> int:
    """Remove the oldest files until all takes at most ``most`` bytes; gives their number. Raises NoRoom when there are
    only segments left."""
    finished = sorted((*folder.glob("*.parquet"), *folder.glob("*.damaged")))
    total = sum(map(_measure, finished)) + sum(map(_measure, (folder / "open").glob("*.segment")))
    removed = 0
    while total > most:
        if removed == len(finished):
            raise NoRoom("the captured requests take as much of the disk as they may")
        total -= _measure(finished[removed])
        finished[removed].unlink(missing_ok=True)
        removed += 1
    return removed


def list_segments(folder: Path) -> list[Path]:
    """The segments that are there, in use or not."""
    return sorted((folder / "open").glob("*.segment"))


@contextlib.contextmanager
def claim_closed(folder: Path, path: Path) -> Iterator[bool]:
    """Hold a segment that nobody writes to; False when somebody does."""
    with contextlib.ExitStack() as stack:
        # Between a segment's making and its writer's lock nobody may take it for one that was left.
        with hold_lock(folder / ".lock"):
            claimed = stack.enter_context(claim_segment(path))
        yield claimed


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
