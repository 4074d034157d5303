"""Which program stands for which container image, from a JSON file.

An entry is ``{"match": part of the image's URI, "serve": [command], "train": [command], "process": [command], "env":
{…}}``; the first that matches counts. ``{python}``, ``{project}``, ``{port}``, ``{model_dir}``, ``{folder}`` (the
container's own), ``{base}`` (what a container sees as /opt/ml) and ``{script_mode_python}`` (which has
``sagemaker-training``, and is made when it is first asked for) are filled in. A list of several commands may be
given by TOLLGATE_EMULATOR_IMAGES.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from config.side_environments import prepare_python
from include.errors import SettingsError
from include.settings import PROJECT_ROOT


class _Places(dict[str, str]):
    """What is filled in, and one place that costs something."""

    def __missing__(self, name: str) -> str:
        if name != "script_mode_python":
            raise KeyError(name)
        return prepare_python("script-mode")


@dataclass(frozen=True)
class Image:
    """One image: its commands by what they are for (``serve``, ``train``, ``process``), and its environment."""

    match: str
    commands: dict[str, list[str]]
    env: dict[str, str] = field(default_factory=dict)

    def fill(self, purpose: str, values: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The command for ``purpose`` and the environment, with their places filled."""
        values = _Places({"python": sys.executable, "project": str(PROJECT_ROOT), **values})
        command = [part.format_map(values) for part in self.commands[purpose]]
        return command, {name: text.format_map(values) for name, text in self.env.items()}


def read_images(path: Path) -> list[Image]:
    """The images of a file. Raises SettingsError when it cannot be read as what it should be."""
    try:
        entries = json.loads(path.read_text())
        return [
            Image(
                entry["match"],
                {purpose: entry[purpose] for purpose in ("serve", "train", "process") if purpose in entry},
                entry.get("env", {}),
            )
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} is not a list of images ({error!r}).",
            next_step="See config/sagemaker_emulator/images.py for what an entry holds.",
            setting="TOLLGATE_EMULATOR_IMAGES",
            value=str(path),
        ) from error


def find_image(images: list[Image], uri: str, purpose: str) -> Image | None:
    """The first image that matches ``uri`` and has a command for ``purpose``."""
    return next((image for image in images if image.match in uri and purpose in image.commands), None)
