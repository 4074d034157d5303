"""docker-compose.yaml without Docker: each service's own command, environment and healthcheck, run as a process.

What a container has and this machine has not is put in place by ``Places`` and nowhere else. Docker's part is played
as Docker plays it: a service starts when what it depends on is well, and starts again by its restart policy. Limits,
users, networks and volumes are not played; what a service needed of its memory is looked at instead.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from config.guard import find_members, kill_all, read_processes
from config.health import read_tail
from include.settings import PROJECT_ROOT
from tests.services.image import Image
from tests.unit.compose_file import read_compose

_GUARD = PROJECT_ROOT / "config" / "guard.py"
# Docker begins with a tenth of a second and doubles it.
_FIRST_PAUSE = 0.1


@dataclass(frozen=True)
class Places:
    """Every word of the file that only a container understands, and what stands for it on this machine.

    Hosts become the loopback address; both stores' addresses become the machine's own servers, with databases and a
    number of this run's own; the image's folders and the volume become folders of this run. Ports need nothing: the
    file takes them from ``.env``.
    """

    image: Image
    home: Path
    hosts: tuple[str, ...]
    stores: Mapping[str, str] = field(default_factory=dict)

    def put(self, value: str) -> str:
        """``value`` with everything that only a container understands replaced."""
        for address, own in self.stores.items():
            value = value.replace(f"@{address}", f"@{own}")
        value = value.replace(self.image.place, str(self.image.workdir)).replace("/var/lib/tollgate", str(self.home))
        value = value.replace("/opt/venv/bin:$PATH", f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
        for host in self.hosts:
            value = value.replace(f"//{host}:", "//127.0.0.1:")
        return value

    def put_variable(self, value: str) -> str:
        """The same for a variable, which may be a host and nothing else."""
        return "127.0.0.1" if value in self.hosts else self.put(value)


class Container:
    """One service while it is wanted: its processes, started again by the service's policy when the first one ends.

    ``config.guard`` stands for Docker's ``init``: nothing of a start outlives its first process.
    """

    def __init__(self, name: str, service: Mapping[str, Any], places: Places, replica: str = "") -> None:
        self.name = name + replica
        self.service = service
        self.log = places.home / "containers" / f"{self.name}.log"
        self.exit_code: int | None = None
        self.starts = 0
        self._places = places
        # %h is a container's own name for Celery; on one machine a second replica needs another.
        self._replica = replica
        self._grace = _read_seconds(service.get("stop_grace_period", "10s"))
        self._stopping = threading.Event()
        self._guard: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keep {self.name}", daemon=True)

    @property
    def env(self) -> dict[str, str]:
        """What its processes are started with: the image's variables, then the file's; nothing of this process."""
        image = self._places.image
        given = {name: str(value) for name, value in self.service["environment"].items()}
        env = {name: self._places.put_variable(value) for name, value in {**image.env, **given}.items()}
        return {**env, "HOME": str(self._places.home), "LANG": "C.UTF-8"}

    def _translate(self, words: Iterable[str]) -> list[str]:
        return [self._places.put(word).replace("%h", f"%h{self._replica}") for word in words]

    def start(self) -> None:
        """Start it; returns at once."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._keeper.start()

    def _keep(self) -> None:
        pause = _FIRST_PAUSE
        session = self.log.with_suffix(".json")
        guard = [sys.executable, "-I", "-S", str(_GUARD), "--session", str(session), "--grace", str(self._grace), "--"]
        command = [shutil.which(self._places.image.entrypoint[0], path=self.env["PATH"]) or ""]
        command += [*self._places.image.entrypoint[1:], *self._translate(self.service["command"])]
        while not self._stopping.is_set():
            began = time.monotonic()
            with self.log.open("ab") as out:
                self._guard = subprocess.Popen(
                    [*guard, *command],
                    cwd=self._places.image.workdir,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.starts += 1
            self.exit_code = self._guard.wait()
            if self.exit_code == 0 and self.service["restart"] == "on-failure":
                return
            pause = _FIRST_PAUSE if time.monotonic() - began > 10 else pause * 2
            self._stopping.wait(pause)

    def find_processes(self) -> set[int]:
        """The pids of all its processes."""
        return set() if self._guard is None else find_members(read_processes(), None, self._guard.pid)

    def kill(self) -> None:
        """SIGKILL every process of it at once, as the end of its machine does."""
        family = self.find_processes()
        assert family, f"{self.name} does not run"
        kill_all(family)

    def stop(self) -> None:
        """SIGTERM its first process; what is left when its time is over is killed."""
        self._stopping.set()
        if self._guard is not None and self._guard.poll() is None:
            self._guard.send_signal(signal.SIGTERM)
        if self._keeper.ident is not None:
            self._keeper.join()

    def is_well(self) -> bool:
        """Whether its own healthcheck says so; run as Docker runs it, in its environment."""
        kind, *words = self.service["healthcheck"]["test"]
        command = ["/bin/sh", "-c", *self._translate(words)] if kind == "CMD-SHELL" else self._translate(words)
        command[0] = shutil.which(command[0], path=self.env["PATH"]) or command[0]
        workdir = self._places.image.workdir
        done = subprocess.run(command, cwd=workdir, env=self.env, capture_output=True, timeout=120, check=False)
        self.log.with_suffix(".health").write_bytes(done.stdout + done.stderr)
        return done.returncode == 0

    def read_log(self, lines: int = 15) -> str:
        """The end of what it said, and what its last healthcheck said."""
        checked = read_tail(self.log.with_suffix(".health"), 4)
        return f"--- {self.name} ({self.starts} starts)\n{read_tail(self.log, lines)}\n--- its healthcheck\n{checked}"

    def measure_memory(self) -> float:
        """PSS of all its processes in MB: what they share with each other counts once."""
        total = 0
        for pid in self.find_processes():
            with contextlib.suppress(psutil.Error):
                total += psutil.Process(pid).memory_full_info().pss
        return total / 1e6


def _read_seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


class Composition:
    """The services of the file that this machine runs itself, started in the order that the file asks for."""

    def __init__(self, settings: Mapping[str, str], places: Places, elsewhere: Iterable[str]) -> None:
        services = read_compose(settings)["services"]
        self.elsewhere = frozenset(elsewhere)
        self.containers = {
            name: Container(name, service, places) for name, service in services.items() if name not in self.elsewhere
        }

    def start(self, seconds: float) -> None:
        """Start everything and return when every healthcheck passes. Raises AssertionError with the logs otherwise."""
        deadline = time.monotonic() + seconds
        waiting, well = dict(self.containers), set(self.elsewhere)
        started: dict[str, Container] = {}
        while waiting or started.keys() - well:
            for name, container in tuple(waiting.items()):
                if all(needed in well for needed in container.service.get("depends_on", {})):
                    container.start()
                    started[name] = waiting.pop(name)
            for name in sorted(started.keys() - well):
                container = started[name]
                ends = container.service["restart"] == "on-failure"
                if container.exit_code == 0 if ends else container.is_well():
                    well.add(name)
            if time.monotonic() > deadline:
                late = sorted(self.containers.keys() - well)
                raise AssertionError("\n".join([f"not well: {late}", self.read_logs()]))
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything, those that use others first, side by side where nothing depends on them."""
        left = dict(self.containers)
        while left:
            needed = {name for container in left.values() for name in container.service.get("depends_on", {})}
            now = [left.pop(name) for name in tuple(left) if name not in needed]
            stoppers = [threading.Thread(target=container.stop) for container in now]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                stopper.join()

    def read_logs(self) -> str:
        """The end of every container's log."""
        return "\n".join(container.read_log() for container in self.containers.values())
