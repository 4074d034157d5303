"""The emulator's settings, from TOLLGATE_EMULATOR_… variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include.settings import load_settings, read_number

_IMAGES = Path(__file__).with_name("images.json")


@dataclass(frozen=True)
class EmulatorSettings:
    """``time_scale`` is how many real seconds a second of SageMaker's takes: waits, bakes and the periods of alarms
    are multiplied by it. ``grace`` (real seconds) is what a container has between SIGTERM and SIGKILL; ``startup``
    (real seconds) what it has to answer its first ping where the request names no time. ``processes`` is the most a
    variant gets, however many instances it asks for.
    """

    port: int
    home: Path
    images: Path
    time_scale: float
    grace: float
    startup: float
    processes: int

    @property
    def url(self) -> str:
        """What clients take as AWS's endpoint URL."""
        return f"http://127.0.0.1:{self.port}"


def load_emulator_settings(env: Mapping[str, str]) -> EmulatorSettings:
    """Read the settings. Raises SettingsError when a value is no number in its range."""
    return EmulatorSettings(
        port=read_number(env, "TOLLGATE_EMULATOR_PORT", 8200, 1, 65535, int),
        home=load_settings(env).home / "emulator",
        images=Path(env.get("TOLLGATE_EMULATOR_IMAGES") or _IMAGES).resolve(),
        time_scale=read_number(env, "TOLLGATE_EMULATOR_TIME_SCALE", 1.0, 0.0001, 100, float),
        grace=read_number(env, "TOLLGATE_EMULATOR_GRACE", 30.0, 0, 3600, float),
        startup=read_number(env, "TOLLGATE_EMULATOR_STARTUP", 240.0, 1, 3600, float),
        processes=read_number(env, "TOLLGATE_EMULATOR_PROCESSES", 1, 1, 16, int),
    )
