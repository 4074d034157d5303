"""One deployment at a time per endpoint, one rollout, and one rollback before all of them: file locks, which the kernel
lets go when their holder dies.

Whoever rolls back holds a lock of its own from beginning to end. A deployment looks at it while it holds the endpoint's
and gives way, so that a rollback never waits for a model that does not load.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from include.errors import DeploymentStopped, EndpointUnavailable
from include.records import make_folder

_DEPLOYMENT, _ROLLBACK, _ROLLOUT = "deploy.lock", "rollback.lock", "rollout.lock"


@contextlib.contextmanager
def hold_endpoint(endpoint_folder: Path, seconds: float) -> Iterator[None]:
    """Hold the endpoint's lock. Raises EndpointUnavailable when another deployment keeps it longer than ``seconds``."""
    with _hold(endpoint_folder, _DEPLOYMENT, seconds, "deployment to", "then deploy again"):
        yield


@contextlib.contextmanager
def hold_rollout(endpoint_folder: Path, seconds: float) -> Iterator[None]:
    """Be the one who rolls a version out, from its canary to its swap; anybody may go back meanwhile.

    Raises EndpointUnavailable when another rollout takes longer than ``seconds``.
    """
    with _hold(endpoint_folder, _ROLLOUT, seconds, "rollout to", "then deploy again"):
        yield


@contextlib.contextmanager
def hold_rollback(endpoint_folder: Path, seconds: float) -> Iterator[None]:
    """Be the one who rolls back. Raises EndpointUnavailable when another rollback takes longer than ``seconds``."""
    with _hold(endpoint_folder, _ROLLBACK, seconds, "rollback of", "then look at make status"):
        yield


def is_rolling_back(endpoint_folder: Path) -> bool:
    """Whether somebody rolls the endpoint back just now."""
    try:
        with (endpoint_folder / _ROLLBACK).open() as file:
            return not _take(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def give_way(endpoint_folder: Path, version: str) -> None:
    """Raise DeploymentStopped when the endpoint is being rolled back: a deployment does not get in between."""
    if is_rolling_back(endpoint_folder):
        name = endpoint_folder.name
        raise DeploymentStopped(
            f"The deployment of version {version} to {name} was stopped: somebody rolls the endpoint back just now.",
            next_step=f"See make status; if it is still wanted, trigger {name}.deploy_model with version={version}.",
            pipeline=name,
            version=version,
        )


def _take(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _hold(endpoint_folder: Path, name: str, seconds: float, what: str, then: str) -> Iterator[None]:
    make_folder(endpoint_folder)
    deadline = time.monotonic() + seconds
    with (endpoint_folder / name).open("a") as file:
        while not _take(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise EndpointUnavailable(
                    f"Another {what} the endpoint {endpoint_folder.name} is under way.",
                    next_step=f"Wait for it to end, {then}.",
                    url=None,
                    version=None,
                )
            time.sleep(0.05)
        yield
