"""What an endpoint is told about a candidate beside its champion: one small file, written by deployment and followed
by serving, below both like the pointer.

``serving/<pipeline>/rollout.json`` holds for as long as its time of change is renewed: a controller that is killed, or
hangs, leaves no candidate in front of customers. Renewing never makes the file anew, so whoever removes it ends the
rollout for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from include.errors import TerminalError
from include.records import write_file_atomically

# Renewed once a second: a machine that is busy for a moment ends no rollout.
LEASE_SECONDS = 5.0
# Header of requests that no customer sent. With the rollout's id as its value, the candidate is asked in any case;
# the id is nobody's to guess.
PROBE_HEADER = "x-tollgate-probe"
# What the kernel takes as a socket's path is about this long.
_LONGEST_SOCKET_PATH = 100


class RolloutOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets ``share_percent`` of the requests: ``version``, whose process listens at ``socket`` (a file in the
    endpoint's folder), beside ``champion``, whose model is in ``champion_dir``. Beside any other it gets none.
    ``stage`` is for people; ``started_at`` is ISO 8601 in UTC."""

    id: str
    version: str
    champion: str
    champion_dir: str
    socket: str
    stage: str
    share_percent: float
    deadline_ms: float
    sticky_header: str | None
    started_at: str


def locate_rollout(folder: Path) -> Path:
    """The rollout file of an endpoint's folder."""
    return folder / "rollout.json"


def read_rollout(folder: Path) -> RolloutOrder | None:
    """The order in an endpoint's folder, whether it still holds or not; None when there is none that can be read."""
    try:
        return msgspec.json.decode(locate_rollout(folder).read_bytes(), type=RolloutOrder)
    except (FileNotFoundError, msgspec.DecodeError, RecursionError):
        return None


def write_rollout(folder: Path, order: RolloutOrder) -> None:
    """Replace the order; a reader, or a machine losing power, sees the old or the new one, whole."""
    write_file_atomically(locate_rollout(folder), msgspec.json.format(msgspec.json.encode(order), indent=1))


def renew_rollout(folder: Path) -> bool:
    """Let the order hold for another ``LEASE_SECONDS``; False when there is none any more."""
    try:
        os.utime(locate_rollout(folder))
    except FileNotFoundError:
        return False
    return True


def remove_rollout(folder: Path, rollout_id: str | None = None) -> bool:
    """End the rollout, or only the one with this id; returns whether there was one. The champion answers again."""
    found = read_rollout(folder)
    if rollout_id is not None and (found is None or found.id != rollout_id):
        return False
    try:
        locate_rollout(folder).unlink()
    except FileNotFoundError:
        return False
    return True


def is_lease_over(changed_ns: int) -> bool:
    """Whether an order that was last renewed at ``changed_ns`` holds no more. One from the future does not either: the
    clock was set back, and nobody could tell when it ends."""
    return abs(time.time() - changed_ns / 1e9) > LEASE_SECONDS


def place_value(version: str, value: bytes) -> float:
    """Where a sticky header's value stands between 0 and 100 while ``version`` is rolled out: below the share it goes
    to the candidate, so raising the share only adds values. Another version finds other customers first."""
    digest = hashlib.blake2b(value, digest_size=8, key=version.encode()[:64]).digest()
    return int.from_bytes(digest) * 100 / 2**64


def locate_socket(folder: Path, order: RolloutOrder) -> Path:
    """The candidate's socket. Raises TerminalError when the order would lead out of the folder."""
    if order.socket != Path(order.socket).name or order.socket.startswith("."):
        raise TerminalError(
            f"The rollout of version {order.version} names a socket outside the endpoint's folder.",
            next_step="Deploy the version again: that writes a sound order.",
            version=order.version,
        )
    return folder / order.socket


@contextlib.contextmanager
def shorten_path(path: Path) -> Iterator[str]:
    """A name of ``path`` that the kernel takes for a socket, however deep its folder lies (on Linux)."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH or sys.platform != "linux":
        yield str(path)
        return
    handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)
