"""Several workers on one socket: a parent that does nothing but start them, and start again whichever ends."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from include.serving.board import Board
from include.serving.counters import RESTARTS, Counters
from include.serving.log import log_event
from include.serving.parent import follow_parent

_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
# A worker that ends again and again is started at growing intervals; one that lived so long counts as sound.
_SOUND_SECONDS = 10.0
_LONGEST_PAUSE = 10.0
# After the time that a worker gives its own requests it is killed: see DRAIN_SECONDS of the server.
_MORE_THAN_DRAIN = 3.0


@dataclass
class _Worker:
    slot: int
    pid: int = 0
    started: float = 0.0
    pause: float = 0.0
    start_at: float = 0.0


def run_workers(board: Board, listener: socket.socket, run_worker: Callable[[int], None], drain_seconds: float) -> None:
    """Fork ``board.workers`` workers, each of which calls ``run_worker`` with its slot; return when, after SIGTERM or
    SIGINT, all have ended. ``listener`` is theirs and closed here then. Call it in a process without threads."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    gc.freeze()  # what they share is not copied by their collectors
    counters = Counters(board, board.workers)
    workers = [_Worker(slot) for slot in range(board.workers)]
    stop_at: float | None = None
    while stop_at is None or any(worker.pid for worker in workers):
        now = time.monotonic()
        if stop_at is None:
            for worker in workers:
                if not worker.pid and now >= worker.start_at:
                    _start(worker, board, run_worker)
        received = signal.sigtimedwait(_WATCHED, 0.2)
        if received is not None and received.si_signo != signal.SIGCHLD and stop_at is None:
            stop_at = time.monotonic() + drain_seconds + _MORE_THAN_DRAIN
            listener.close()  # the last one open would keep new callers waiting for nobody
            for worker in workers:
                # One that takes no connections yet has nothing to finish, and might load for long.
                _signal(worker, signal.SIGTERM if board.is_accepting(worker.slot) else signal.SIGKILL)
        for worker in _reap(workers):
            board.clear_worker(worker.slot)
            if stop_at is None:
                counters.count(RESTARTS)
                _plan_restart(worker)
        if stop_at is not None and time.monotonic() > stop_at:
            for worker in workers:
                _signal(worker, signal.SIGKILL)


def _start(worker: _Worker, board: Board, run_worker: Callable[[int], None]) -> None:
    if not any(board.is_accepting(slot) for slot in range(board.workers)):
        board.set_accepting(worker.slot)
    parent = os.getpid()
    sys.stdout.flush()
    worker.pid = os.fork()
    worker.started = time.monotonic()
    if worker.pid:
        return
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        follow_parent(parent)
        run_worker(worker.slot)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 (the worker ends here; its parent's work is not its own)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: scoring that will not end must not keep a worker, and the stack below is the parent's.
        os._exit(code)


def _reap(workers: list[_Worker]) -> list[_Worker]:
    ended = []
    for worker in workers:
        if worker.pid and os.waitpid(worker.pid, os.WNOHANG)[0]:
            worker.pid = 0
            ended.append(worker)
    return ended


def _plan_restart(worker: _Worker) -> None:
    lived = time.monotonic() - worker.started
    worker.pause = 0.0 if lived >= _SOUND_SECONDS else min(max(2 * worker.pause, 0.1), _LONGEST_PAUSE)
    worker.start_at = time.monotonic() + worker.pause
    log_event("worker_ended", slot=worker.slot, lived_seconds=round(lived, 1), restart_in_seconds=worker.pause)


def _signal(worker: _Worker, number: signal.Signals) -> None:
    if worker.pid:
        os.kill(worker.pid, number)
