"""The guard: whatever dies, nothing of the guarded program stays. Real processes, no supervisor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.guard import clear_noted, find_noted, read_processes

GUARD = Path(__file__).parents[3] / "config" / "guard.py"
# Starts two children, one in its own process group and one in a session of its own, as Airflow's tasks do.
PARENT = """
import os, signal, subprocess, sys, time
sleeper = [sys.executable, "-c", "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
same = subprocess.Popen(sleeper, process_group=0)
apart = subprocess.Popen(sleeper, start_new_session=True)
stops = []
signal.signal(signal.SIGTERM, lambda *a: stops.append(1))
open(sys.argv[1], "w").write(f"{os.getpid()} {same.pid} {apart.pid}")
while not stops:
    time.sleep(0.02)
time.sleep(0.3)
open(sys.argv[1] + ".stops", "w").write(str(len(stops)))
sys.exit(7)
"""


class Guarded:
    """A guard with ``PARENT`` under it."""

    def __init__(self, folder: Path, code: str = PARENT, grace: float = 10) -> None:
        self.session = folder / "program.json"
        self.out = folder / f"pids-{time.monotonic_ns()}"
        command = [sys.executable, "-I", "-S", str(GUARD), "--session", str(self.session), "--grace", str(grace), "--"]
        self.process = subprocess.Popen([*command, sys.executable, "-c", code, str(self.out)], process_group=0)
        wait_until(lambda: self.out.exists() and len(self.out.read_text().split()) == 3)
        self.pids = [int(text) for text in self.out.read_text().split()]

    def list_living(self) -> list[int]:
        processes = read_processes()
        return [pid for pid in self.pids if pid in processes]


def wait_until(done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    found = Guarded(tmp_path)
    yield found
    for pid in [found.process.pid, *found.pids]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    found.process.wait()


def test_a_stop_reaches_the_program_once_and_its_exit_code_is_kept(guarded: Guarded) -> None:
    guarded.process.send_signal(signal.SIGTERM)
    guarded.process.send_signal(signal.SIGTERM)
    assert guarded.process.wait(10) == 7
    assert Path(f"{guarded.out}.stops").read_text() == "1"
    assert guarded.list_living() == []
    assert not guarded.session.exists()


def test_when_the_program_is_killed_its_children_go_too(guarded: Guarded) -> None:
    os.kill(guarded.pids[0], signal.SIGKILL)
    assert guarded.process.wait(10) == 128 + signal.SIGKILL
    assert guarded.list_living() == []


def test_when_the_guard_is_killed_the_program_dies_and_the_next_guard_clears_its_session(
    guarded: Guarded, tmp_path: Path
) -> None:
    program, same, apart = guarded.pids
    os.kill(guarded.process.pid, signal.SIGKILL)
    guarded.process.wait()
    wait_until(lambda: program not in read_processes())
    assert same in find_noted(guarded.session)
    following = Guarded(tmp_path)
    try:
        assert same not in read_processes()
    finally:
        following.process.terminate()
        following.process.wait(10)
        # It left the session before its guard died: what `make stop` finds by the mark in its environment.
        os.kill(apart, signal.SIGKILL)


def test_a_program_that_ignores_the_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = PARENT.replace("lambda *a: stops.append(1)", "signal.SIG_IGN")
    found = Guarded(tmp_path, stubborn, grace=0.5)
    began = time.monotonic()
    found.process.terminate()
    assert found.process.wait(10) == 128 + signal.SIGKILL
    assert 0.4 < time.monotonic() - began < 5
    assert found.list_living() == []


def test_when_its_own_parent_is_killed_the_guard_stops_the_program(tmp_path: Path) -> None:
    out = tmp_path / "pids"
    arguments = [str(GUARD), "--session", str(tmp_path / "s.json"), "--", sys.executable, "-c", PARENT, str(out)]
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess,sys; subprocess.Popen(sys.argv[1:]).wait()",
            sys.executable,
            *arguments,
        ]
    )
    wait_until(lambda: out.exists() and len(out.read_text().split()) == 3)
    pids = [int(text) for text in out.read_text().split()]
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not set(pids) & set(read_processes()))
    assert Path(f"{out}.stops").read_text() == "1"


def test_a_command_that_is_not_there_is_said_and_fails(tmp_path: Path) -> None:
    command = [sys.executable, str(GUARD), "--session", str(tmp_path / "s.json"), "--", "/no/such/program"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "/no/such/program" in done.stderr


def test_a_note_whose_number_was_given_to_another_process_harms_nobody(tmp_path: Path) -> None:
    note = tmp_path / "s.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as other:
        start = read_processes()[other.pid][2]
        for stored in ({"start": start - 1, "boot": boot}, {"start": start, "boot": "an earlier boot"}):
            note.write_text(json.dumps({"session": other.pid, **stored}))
            assert clear_noted(note) == 0
            assert other.poll() is None
        note.write_text(json.dumps({"session": other.pid, "start": start, "boot": boot}))
        assert clear_noted(note) == 1
        assert other.wait(5) == -signal.SIGKILL
