"""The load tool: wrk, one thread of it, with bodies that take turns (see rotate.lua)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from include.settings import PROJECT_ROOT

_SCRIPT = Path(__file__).with_name("rotate.lua")
# Above every answer of the slowest peer; wrk counts a later one as failed.
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Load:
    """What one window of load saw. ``failed`` were answered with an error, or not at all; ``unnamed`` well, but without
    the version that did, where that was asked for."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int
    unnamed: int = 0

    @property
    def rate(self) -> float:
        """Requests answered well, a second."""
        return (self.requests - self.failed) / self.seconds


def prepare_wrk() -> str:
    """The path of wrk, installed first when this user may. Ends the bench, saying what to do, without it."""
    subprocess.run(["sh", "config/wrk.sh"], cwd=PROJECT_ROOT, check=False)
    program = shutil.which(os.environ.get("TOLLGATE_WRK") or "wrk")
    if program is None:
        raise SystemExit("The endpoint's figures need wrk: install it, or name it with TOLLGATE_WRK=/path/to/wrk.")
    return program


def run_load(
    program: str, port: int, bodies: Path, connections: int, seconds: float, count_unnamed: bool = False
) -> Load:
    """Ask 127.0.0.1:``port`` for about so long, each connection again as soon as it is answered."""
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={_TIMEOUT_SECONDS}s"]
    command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/invocations", "--", str(bodies)]
    command += ["named"] if count_unnamed else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 2 * _TIMEOUT_SECONDS)
    if done.returncode:
        raise SystemExit(f"wrk ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return parse_output(done.stdout)


def parse_output(text: str) -> Load:
    """Read the line that rotate.lua printed behind wrk's own. Raises ValueError when it is not there."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if len(lines) != 1:
        raise ValueError(f"wrk did not say what it counted: {text[-300:]!r}")
    said = json.loads(lines[0])
    return Load(
        requests=said["requests"],
        seconds=said["us"] / 1e6,
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        max_ms=said["max_us"] / 1000,
        failed=said["refused"] + said["broken"],
        unnamed=said["unnamed"],
    )
