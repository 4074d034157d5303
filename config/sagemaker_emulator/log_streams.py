"""Ships what containers write to CloudWatch Logs, into the streams in which SageMaker puts it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from moto.logs.models import LogsBackend, logs_backends

from config.sagemaker_emulator.clock import Clock

_SECONDS = 0.3
_MOST_BYTES = 1_000_000


@dataclass
class _Followed:
    path: Path
    backend: LogsBackend
    group: str
    stream: str
    read: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ship(self, *, at_end: bool) -> None:
        with self.lock:
            if not self.path.exists():
                return
            with self.path.open("rb") as file:
                file.seek(self.read)
                content = file.read(_MOST_BYTES)
            if not at_end and len(content) < _MOST_BYTES:
                content = content[: content.rfind(b"\n") + 1]
            if not content:
                return
            self.read += len(content)
            now = int(time.time() * 1000)
            lines = content.decode(errors="replace").splitlines()
            events = [{"timestamp": now, "message": line} for line in lines if line.strip()]
            if events:
                self.backend.put_log_events(self.group, self.stream, events)


class LogShipper:
    """Follows log files, a few times a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._followed: dict[Path, _Followed] = {}
        self._lock = threading.Lock()

    def follow(self, path: Path, account: str, region: str, group: str, stream: str) -> None:
        """Make the stream and put there what is written to ``path`` from now on."""
        backend = logs_backends[account][region]
        with self._lock:
            if group not in backend.groups:
                backend.create_log_group(group, {})
            backend.ensure_log_stream(group, stream)
        # A container that is started again goes on in its file.
        self._followed.setdefault(path, _Followed(path, backend, group, stream))

    def finish(self, path: Path) -> None:
        """Ship the rest and forget the file."""
        followed = self._followed.pop(path, None)
        if followed is not None:
            followed.ship(at_end=True)

    def run(self) -> None:
        """Ship until the emulator stops."""
        while not self._clock.is_stopped:
            for followed in list(self._followed.values()):
                followed.ship(at_end=False)
            self._clock.wait_real(_SECONDS)
