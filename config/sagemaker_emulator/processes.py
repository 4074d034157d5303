"""Starting programs that cannot outlive the emulator: each runs under config/guard.py, which ends with it.

The kernel's parent-death signal comes when the thread ends that started a process. So one thread, which lives as long
as the emulator, starts them all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from include.settings import PROJECT_ROOT

_GUARD = PROJECT_ROOT / "config" / "guard.py"
_MORE_THAN_GRACE = 5.0
# What a container sees of this machine; the rest comes from its image and its request.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Program:
    """A running program and everything it started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, grace: float) -> None:
        self._process = process
        self.log = log
        self.grace = grace

    @property
    def pid(self) -> int:
        """The process id of its guard."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Tell it to stop and do not wait; its guard kills it when its grace is over."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> int:
        """SIGTERM, then SIGKILL after its grace; returns the exit code."""
        self.terminate()
        try:
            return self._process.wait(self.grace + _MORE_THAN_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def kill(self) -> int:
        """SIGKILL for the program at once; its guard clears away the rest."""
        while (code := self._process.poll()) is None:
            for pid in _list_children(self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        return code

    def read_tail(self, lines: int = 20) -> list[str]:
        """The last lines of what it wrote."""
        return self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []


def _list_children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Launcher:
    """The thread that starts programs."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
        self.programs: list[Program] = []

    def start(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, *, log: Path | None = None
    ) -> Program:
        """Start ``command`` in ``folder``, which exists; what it writes goes to ``log`` (default: there)."""
        log = log or folder / "log"
        guard = [sys.executable, "-I", "-S", str(_GUARD), "--session", str(folder / "session")]
        guard += ["--grace", str(self._grace)]
        complete = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(env)

        def launch() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [*guard, "--", *command],
                    cwd=folder,
                    env=complete,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

        program = Program(self._thread.submit(launch).result(), log, self._grace)
        self.programs = [known for known in self.programs if known.exit_code is None]
        self.programs.append(program)
        return program

    def stop_all(self) -> None:
        """Stop every program; all have their grace at the same time."""
        for program in self.programs:
            program.terminate()
        for program in self.programs:
            program.stop()
        self._thread.shutdown()
