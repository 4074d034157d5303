"""Run one program under supervisord so that nothing of it outlives it. Standard library only, to stay small.

supervisord sees only the process it started. A server's workers survive when that process is killed, keep its port,
and the restarted one can never bind it. So supervisord starts this guard, and the guard

- gives the program a session of its own and notes it in a file, so that the next guard can clear away what a killed
  guard left behind;
- is a sub-reaper: orphans of the program come back to the guard, even those that changed their process group;
- passes a stop on once, to the program's first process only (a second SIGTERM makes Airflow's scheduler hang), and
  after ``--grace`` seconds, or as soon as that process ended, kills what is left;
- stops the program when supervisord itself is gone, and is followed by the program when it is killed itself.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_WATCHED: set[int] = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def _set_process_option(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def read_processes() -> dict[int, tuple[int, int, int]]:
    """Every living process as ``pid -> (parent, session, start)``; ``start`` in clock ticks since boot."""
    found = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in brackets may hold spaces and brackets itself: read from its last one on.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            found[int(entry.name)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return found


def find_members(processes: dict[int, tuple[int, int, int]], session: int | None, ancestor: int | None) -> set[int]:
    """Pids in ``session`` or descending from ``ancestor`` (neither counts itself unless it is in the session)."""
    members = {pid for pid, (_, sid, _) in processes.items() if session is not None and sid == session}
    if ancestor is not None:
        family = {ancestor}
        grown = True
        while grown:
            found = {pid for pid, (parent, _, _) in processes.items() if parent in family} - family
            family |= found
            grown = bool(found)
        members |= family - {ancestor}
    return members


def _read_boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def write_session(path: Path, session: int) -> None:
    """Note the session of a program that is about to start; called by its first process."""
    start = read_processes()[session][2]
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"session": session, "start": start, "boot": _read_boot_id()}))
    partial.replace(path)


def find_noted(path: Path) -> set[int]:
    """Living processes of the session noted in ``path``; empty when there is none or the number was reused."""
    try:
        noted = json.loads(path.read_text())
    except FileNotFoundError:
        return set()
    processes = read_processes()
    leader = processes.get(noted["session"])
    if noted["boot"] != _read_boot_id() or (leader is not None and leader[2] != noted["start"]):
        return set()
    return {pid for pid in find_members(processes, noted["session"], None) if processes[pid][2] >= noted["start"]}


def kill_all(pids: set[int]) -> None:
    """SIGKILL every one; those already gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def clear_noted(path: Path, seconds: float = 10.0) -> int:
    """Kill what is left of the session noted in ``path`` and return how many processes that were."""
    count = 0
    deadline = time.monotonic() + seconds
    while (left := find_noted(path)) and time.monotonic() < deadline:
        count = max(count, len(left))
        kill_all(left)
        time.sleep(0.02)
    path.unlink(missing_ok=True)
    return count


def _start_program(command: list[str], session_file: Path, mask: set[int]) -> int:
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        _set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # the guard died before the line above
            os._exit(1)
        write_session(session_file, os.getpid())
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(command[0], command)  # noqa: S606 - becoming it is the purpose
    except Exception as error:  # noqa: BLE001 - this process must end here, whatever happened
        print(f"guard: {command[0]} could not be started: {error}", file=sys.stderr, flush=True)
    os._exit(127)


def _reap(program: int) -> int | None:
    """Collect every child that ended; the wait status of ``program`` if it was among them."""
    status = None
    while True:
        try:
            pid, found = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == program:
            status = found


def _wait_for_end(program: int, grace: float) -> int | None:
    """Pass a stop on to ``program`` and return its wait status, or None when it did not stop within ``grace``."""
    deadline: float | None = None
    while True:
        status = _reap(program)
        if status is not None:
            return status
        # A timeout even without a deadline: a SIGCHLD that came while one was pending is not delivered twice.
        left = 5.0 if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        received = signal.sigtimedwait(_WATCHED, min(left, 5.0))
        if received is not None and received.si_signo != signal.SIGCHLD and deadline is None:
            os.kill(program, signal.SIGTERM)
            deadline = time.monotonic() + grace


def run_guarded(command: list[str], session_file: Path, grace: float) -> int:
    """Run ``command`` to its end and return its exit code; nothing of it is left afterwards."""
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)}
    supervisor = os.getppid()
    _set_process_option(_PR_SET_CHILD_SUBREAPER, 1)
    _set_process_option(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:
        return 1
    left = clear_noted(session_file)
    if left:
        print(f"guard: killed {left} process(es) left by the one before", file=sys.stderr, flush=True)
    program = _start_program(command, session_file, mask)
    status = _wait_for_end(program, grace)
    while members := find_members(read_processes(), program, os.getpid()):
        kill_all(members)
        time.sleep(0.02)
        found = _reap(program)
        status = found if status is None else status
    session_file.unlink(missing_ok=True)
    code = 128 + signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main() -> int:
    """Read the command line: ``guard.py --session FILE --grace SECONDS -- COMMAND …``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", type=Path, required=True)
    parser.add_argument("--grace", type=float, default=30.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    return run_guarded(options.command, options.session, options.grace)


if __name__ == "__main__":
    sys.exit(main())
