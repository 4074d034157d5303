"""Following the pointer: load beside the running model, try, then swap one reference."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from include.errors import PointerInvalid
from include.pointer import (
    Pointer,
    Withdrawal,
    describe_pointer,
    list_pointers,
    locate_model,
    locate_pointer,
    parse_pointer,
    read_withdrawal,
    stamp_file,
)
from include.records import utc_now
from include.serving.board import Board
from include.serving.breathing import run_breathing
from include.serving.capture.keeper import Capture
from include.serving.capture.recorder import Recorder
from include.serving.counters import RULES, SWAPS, Counters
from include.serving.log import log_event
from include.serving.model import ServedModel, load_model
from include.serving.totals import read_count

if TYPE_CHECKING:
    from include.serving.canary import Canary

POLL_SECONDS = 0.25
# A version that could not be loaded is tried again now and then: its files may only have come late.
RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class Serving:
    """What is served: replaced as a whole, so a request sees one model and its own facts. ``pointer`` is None in a
    process that serves a directory."""

    model: ServedModel
    pointer: Pointer | None
    swapped_at: str
    recorder: Recorder | None = None


@dataclass
class Endpoint:
    """The state of one worker. Only the followers write it; requests read ``serving`` and ``canary`` once each. What
    changes is told to the other workers through ``board``. Without ``capture`` nothing is captured. ``rollout_error``
    is the id of an order that is not followed, and why. A candidate's process tells its champion's of its rules."""

    pipeline: str
    board: Board = field(default_factory=Board)
    slot: int = 0
    capture: Capture | None = None
    is_candidate: bool = False
    serving: Serving | None = None
    canary: Canary | None = None
    rollout_error: dict[str, str] | None = None
    state: str = "starting"
    reason: str = "The model is being loaded."
    pointer_error: dict[str, Any] | None = None
    started_at: str = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        # The pointer is followed in a thread, a rollout on the event loop, and both tell what they changed.
        self._announcing = threading.Lock()
        self.counters = Counters(self.board, self.slot)
        self.announce()

    def take(self, model: ServedModel, pointer: Pointer | None) -> None:
        """Swap ``model`` in; requests already under way finish on the one they read."""
        if self.serving is None:
            # Loaded libraries stay for good: the collector need not walk through them while requests wait.
            gc.collect()
            gc.freeze()
        swapped_at = pointer.swapped_at if pointer is not None else utc_now()
        recorder = self.capture.start(model) if self.capture is not None else None
        self.serving = Serving(model, pointer, swapped_at, recorder)
        if self.capture is not None:
            self.capture.keep_only(recorder)
        self.state, self.reason = "ready", ""
        self.counters.count(SWAPS, model.version)
        self.announce()
        log_event("swapped", pipeline=self.pipeline, version=model.version, model_dir=str(model.path))

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Serve nothing; requests already under way finish on the model that they read."""
        if self.serving is not None:
            log_event("withdrawn", pipeline=self.pipeline, version=withdrawal.version, reason=withdrawal.reason)
        self.serving, self.pointer_error = None, None
        if self.capture is not None:
            self.capture.keep_only(None)
        self.state = "withdrawn"
        self.reason = f"Version {withdrawal.version} was withdrawn at {withdrawal.withdrawn_at}: {withdrawal.reason}"
        self.announce()

    def refuse(self, problem: str, pointer: Pointer | None) -> None:
        """Keep what is served and remember why the pointer was not followed."""
        known = self.pointer_error or {}
        facts: dict[str, Any] = {
            "version": pointer.version if pointer else None,
            "swapped_at": pointer.swapped_at if pointer else None,
            "message": problem,
        }
        if self.serving is None:
            self.state, self.reason = "broken", problem
        if any(known.get(name) != value for name, value in facts.items()):
            # The same problem, met again by a retry, is said once.
            self.pointer_error = {**facts, "since": utc_now()}
            log_event("pointer_refused", pipeline=self.pipeline, **self.pointer_error)
        self.announce()

    def miss(self) -> None:
        """Say that nothing was deployed yet."""
        self.state, self.reason = "no model deployed yet", "Nothing was deployed to this endpoint."
        self.pointer_error = None
        self.announce()

    def follow_well(self) -> None:
        """Say that the pointer is followed."""
        self.pointer_error = None
        self.announce()

    def announce(self) -> None:
        """Tell the other workers what this one serves. On any thread: the last to tell has seen what all changed."""
        with self._announcing:
            now, canary = self.serving, self.canary
            self.board.write_state(
                self.slot,
                {
                    "slot": self.slot,
                    "pid": os.getpid(),
                    "state": self.state,
                    "reason": self.reason,
                    "version": now.model.version if now else None,
                    "scoring_path": now.model.scoring_path if now else None,
                    "model_dir": str(now.model.path) if now else None,
                    "swapped_at": now.swapped_at if now else None,
                    "pointer_error": self.pointer_error,
                    "rollout": canary.describe() if canary else None,
                    "candidate": canary.order.version if canary else None,
                    "rollout_error": self.rollout_error,
                },
            )

    def describe(self) -> dict[str, Any]:
        """The body of GET /version: what this worker serves, then a line for each worker. A pointer that any of them
        could not follow is an error of the endpoint."""
        now = self.serving
        workers = self.board.read_states()
        errors = (worker["pointer_error"] for worker in workers if worker["pointer_error"])
        return {
            "pipeline": self.pipeline,
            "state": self.state,
            "reason": self.reason,
            "version": now.model.version if now else None,
            "partition": (now.pointer.partition if now.pointer else now.model.metadata.get("partition"))
            if now
            else None,
            "model_dir": str(now.model.path) if now else None,
            "scoring_path": now.model.scoring_path if now else None,
            "scoring_note": now.model.scoring_note if now else None,
            "swapped_at": now.swapped_at if now else None,
            "started_at": self.started_at,
            "pid": os.getpid(),
            "previous": describe_pointer(now.pointer.previous) if now and now.pointer else None,
            "pointer_error": self.pointer_error or next(errors, None),
            "prediction_rules": now.model.rules.describe(partial(read_count, self.board, RULES, now.model.version))
            if now
            else [],
            "capture": self.capture.describe() if self.capture is not None else None,
            "rollout": self.describe_rollout(),
            "workers": workers,
        }

    def describe_rollout(self) -> dict[str, Any] | None:
        """The order that this worker follows, if any, without what would let a caller choose the candidate."""
        canary = self.canary
        if canary is None:
            return None
        facts: dict[str, Any] = msgspec.to_builtins(canary.order)
        return {name: facts[name] for name in ("version", "champion", "stage", "share_percent", "started_at")}


async def serve_directory(endpoint: Endpoint, path: Path, version: str | None) -> None:
    """Load the one model of a sandbox or a container."""
    try:
        model = await asyncio.to_thread(load_model, path, version)
        endpoint.pipeline = endpoint.pipeline or str(model.metadata.get("pipeline", ""))
        endpoint.take(model, None)
    except Exception as error:  # noqa: BLE001 (/ping has to say it: nobody sees a dead task)
        endpoint.refuse(str(error), None)


async def follow_pointer(endpoint: Endpoint, folder: Path, poll_seconds: float = POLL_SECONDS) -> None:
    """Serve what the pointer of ``folder`` names, for ever; never raises, and serves nothing only when told to."""
    follower = _Follower(endpoint, folder, load_model)
    while True:
        try:
            await asyncio.to_thread(follower.check)
        except Exception as error:  # noqa: BLE001 (a dead follower would ignore every deployment)
            endpoint.refuse(f"Following the pointer failed with {type(error).__name__}: {error}", None)
        await asyncio.sleep(poll_seconds)


class _Follower:
    def __init__(self, endpoint: Endpoint, folder: Path, load: Callable[[Path, str], ServedModel]) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.load = load
        self.seen: tuple[int, ...] | None = None
        self.retry_at = float("inf")

    def check(self) -> None:
        """Look at the pointer once. The stamp is taken before reading: a replacement in between is seen next time."""
        stamp = stamp_file(locate_pointer(self.folder))
        if stamp is None:
            self._miss_pointer()
            return
        if stamp == self.seen and time.monotonic() < self.retry_at:
            return
        self.seen, self.retry_at = stamp, float("inf")
        path = locate_pointer(self.folder)
        try:
            pointer = parse_pointer(path.read_bytes(), path)
        except FileNotFoundError:
            self.seen = None
            return
        except PointerInvalid as error:
            self.endpoint.refuse(str(error), None)
            return
        self._serve(pointer)

    def _miss_pointer(self) -> None:
        withdrawal = read_withdrawal(self.folder)
        if withdrawal is not None:
            if self.endpoint.serving is not None or self.endpoint.state != "withdrawn":
                self.endpoint.withdraw(withdrawal)
        elif self.endpoint.serving is None:
            if self.endpoint.state != "no model deployed yet":
                self.endpoint.miss()
        elif self.seen is not None:
            self.endpoint.refuse("The pointer is gone; the last version it named is still served.", None)
        self.seen = None

    def _serve(self, pointer: Pointer) -> None:
        """Serve the pointer's version; without any model yet, fall back to the versions before it."""
        for candidate in list_pointers(pointer):
            try:
                path = locate_model(self.folder, candidate)
                current = self.endpoint.serving
                if current is None or (current.model.path, current.model.version) != (path, candidate.version):
                    # At the start nobody is served yet, and whoever waits for it is better served soon.
                    model = (
                        self.load(path, candidate.version)
                        if current is None
                        else run_breathing(self.load, path, candidate.version)
                    )
                else:
                    model = current.model  # the same model under a newer pointer: nothing to load
            except Exception as error:  # noqa: BLE001 (whatever fails, what is served stays served)
                if candidate is pointer:
                    self.endpoint.refuse(str(error), pointer)
                    self.retry_at = time.monotonic() + RETRY_SECONDS
                if self.endpoint.serving is not None:
                    return
                continue
            self.endpoint.take(model, candidate)
            if candidate is pointer:
                self.endpoint.follow_well()
            return
