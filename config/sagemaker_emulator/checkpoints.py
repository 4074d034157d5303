"""A training job's checkpoints: on S3 while it runs, and back in its folder when it starts again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from config.sagemaker_emulator.jobs import move_paths
from config.sagemaker_emulator.storage import Storage

_LOCAL = "/opt/ml/checkpoints"
_SYNC_SECONDS = 0.5


class Checkpoints:
    """Keeps a job's checkpoints on S3 and brings them back when it starts again."""

    def __init__(self, storage: Storage, request: dict[str, Any], base: Path) -> None:
        config = request.get("CheckpointConfig")
        self._storage = storage
        self._uri = None if config is None else config["S3Uri"].rstrip("/")
        local = _LOCAL if config is None else config.get("LocalPath", _LOCAL)
        self._folder = Path(move_paths(f"{local}/", base))
        self._seen: dict[Path, tuple[int, int]] = {}
        self._next = 0.0
        if self._uri is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            storage.download(f"{self._uri}/", self._folder)

    def sync(self, *, at_end: bool = False) -> None:
        """Upload what changed since the last time."""
        if self._uri is None or (time.monotonic() < self._next and not at_end):
            return
        self._next = time.monotonic() + _SYNC_SECONDS
        for path in self._folder.rglob("*"):
            if path.is_file():
                found = path.stat()
                mark = (found.st_mtime_ns, found.st_size)
                if self._seen.get(path) != mark:
                    self._seen[path] = mark
                    self._storage.write(f"{self._uri}/{path.relative_to(self._folder)}", path.read_bytes())
