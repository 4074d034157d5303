"""docker-compose.yaml as Compose reads it: variables filled in, everything else as it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from include.settings import PROJECT_ROOT

COMPOSE_TEXT = (PROJECT_ROOT / "docker-compose.yaml").read_text()

# The innermost variable of a text, so that a default may hold another one.
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^${}]*))?\}")


def _fill_in(text: str, env: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        value = env.get(match["name"], "")
        if value or match["how"] is None:
            return value
        assert match["how"] == "-", f"{match['name']}: {match['rest']}"
        return match["rest"]

    while _VARIABLE.search(text):
        text = _VARIABLE.sub(replace, text)
    return text.replace("$$", "$")


def _walk(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _walk(entry, env) for key, entry in value.items()}
    if isinstance(value, list):
        return [_walk(entry, env) for entry in value]
    return _fill_in(value, env) if isinstance(value, str) else value


def read_compose(env: Mapping[str, str]) -> dict[str, Any]:
    """The file with ``env`` filled in; AssertionError where a required variable is missing."""
    filled: dict[str, Any] = _walk(yaml.safe_load(COMPOSE_TEXT), env)
    return filled


def list_required() -> dict[str, str]:
    """A value for every variable that has no default."""
    names = set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT))
    return {name: f"given-{name.lower()}" for name in names}
