"""What every part of a declaration is made of: immutable, strict, and with names and durations that are checked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FUNCTION = re.compile(r"[a-z_][a-z0-9_]*:[a-z_][a-z0-9_]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta:
    """Read "90s", "30m", "2h" or "1d". Raises ValueError otherwise."""
    found = _DURATION.fullmatch(text)
    if not found or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is not a duration; write a positive number and a unit: 90s, 30m, 2h or 1d")
    return timedelta(seconds=float(found[1]) * _UNIT_SECONDS[found[2]])


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name: lower-case letters, digits and _, starting with a letter, ≤ 63")
    return name


def _check_function(reference: str) -> str:
    if not _FUNCTION.fullmatch(reference):
        raise ValueError(f"{reference!r} is not module:function, such as features:assemble_requests")
    return reference


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


Name = Annotated[str, AfterValidator(_check_name)]
FunctionName = Annotated[str, AfterValidator(_check_function)]
DurationText = Annotated[str, AfterValidator(_check_duration)]


class Part(BaseModel):
    """A part of a declaration: immutable, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
