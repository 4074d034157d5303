"""What the commands start from: ``.env`` below the real environment, then ports and settings that agree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.ports import Ports, read_ports
from include.errors import SettingsError
from include.settings import PROJECT_ROOT, Settings, load_settings


@dataclass(frozen=True)
class Site:
    """One embedded system: ``env`` is the complete environment that ``settings`` and ``ports`` were read from."""

    settings: Settings
    ports: Ports
    env: Mapping[str, str]

    @property
    def run_folder(self) -> Path:
        """Where the supervisor keeps its configuration, sockets and notes."""
        return self.settings.home / "run"

    @property
    def logs_folder(self) -> Path:
        """Where every program's log lies."""
        return self.settings.home / "logs"

    @property
    def mail_folder(self) -> Path:
        """Where the mail catcher keeps mails."""
        return self.settings.home / "mail"


def read_dotenv(path: Path) -> dict[str, str]:
    """``NAME=value`` lines of a file (quotes around a value are dropped); empty when there is no file.

    Raises SettingsError naming the line that is neither that nor a comment.
    """
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise SettingsError(
                f"Line {number} of {path.name} is not NAME=value.",
                next_step=f"Correct the line, or put # before it: {text[:60]!r}.",
                setting=path.name,
                value=text,
            )
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[name.strip()] = value
    return values


def load_site(env: Mapping[str, str] | None = None) -> Site:
    """Read the whole configuration; the real environment wins over ``.env``. Raises SettingsError."""
    env = {**read_dotenv(PROJECT_ROOT / ".env"), **os.environ} if env is None else dict(env)
    ports = read_ports(env)
    complete = {**env, **ports.to_environment()}
    return Site(load_settings(complete), ports, complete)
