"""Waiting until every program is well, with a line on the screen for each, and its last words when it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from config.environment import Site
from config.programs import Program
from config.supervise import Supervisor, name_log
from include.errors import TransientError

Say = Callable[[str], None]


def read_tail(path: Path, lines: int = 25, most_bytes: int = 16_000) -> str:
    """The last lines of a log, or a note that there is none."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - most_bytes))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


class HealthProbe:
    """Asks programs whether they are well; ``trust_env`` is off so that no proxy gets in between."""

    def __init__(self) -> None:
        self._client = httpx.Client(timeout=5.0, trust_env=False)

    def is_well(self, program: Program) -> bool:
        """True when the program answers as it should."""
        try:
            answer = self._client.get(program.health)
        except httpx.HTTPError:
            return False
        if program.any_answer:
            return True
        if answer.status_code != 200:
            return False
        if not program.part:
            return True
        parts: dict[str, Any] = answer.json()
        return bool((parts.get(program.part) or {}).get("status") == "healthy")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def wait_until_well(site: Site, programs: Sequence[Program], seconds: float, say: Say) -> None:
    """Return when every program is well, saying each as it comes.

    Raises TransientError with the last lines of the first program's log that is not well within ``seconds``.
    """
    probe = HealthProbe()
    waiting = list(programs)
    began = time.monotonic()
    try:
        while waiting:
            for program in tuple(waiting):
                if probe.is_well(program):
                    waiting.remove(program)
                    say(f"  {program.name} is up ({time.monotonic() - began:.0f} s)")
            if waiting and time.monotonic() - began > seconds:
                raise _describe_failure(site, waiting, seconds)
            if waiting:
                time.sleep(0.3)
    finally:
        probe.close()


def _describe_failure(site: Site, waiting: Sequence[Program], seconds: float) -> TransientError:
    states = Supervisor(site).list_states()
    # One that keeps dying is the cause; one that runs may only wait for it.
    broken = [program for program in waiting if states.get(program.name, {}).get("statename") != "RUNNING"]
    culprit = (broken or list(waiting))[0]
    log = name_log(site, culprit.name)
    names = ", ".join(program.name for program in waiting)
    return TransientError(
        f"Not well after {seconds:.0f} s: {names}. The last lines of {culprit.name}:\n{read_tail(log)}\n",
        next_step=f"Read the whole log in {log}, then `make stop` and `make run`.",
        programs=names,
        log=str(log),
    )
