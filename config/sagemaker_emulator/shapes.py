"""Refuses a request that AWS's own service model does not allow: names too long, numbers out of range, unknown values.

boto3 checks types and what is required, and leaves the rest to the service.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.session  # type: ignore[import-untyped]
from botocore.model import ServiceModel, Shape  # type: ignore[import-untyped]

from config.sagemaker_emulator.refusals import Refusal


@cache
def load_service() -> ServiceModel:
    """The service model of SageMaker that the installed botocore carries."""
    return botocore.session.get_session().get_service_model("sagemaker")


def check_request(action: str, request: dict[str, Any]) -> None:
    """Raise Refusal naming every constraint of ``action``'s input that ``request`` breaks."""
    problems: list[str] = []
    shape = load_service().operation_model(action).input_shape
    if shape is not None:
        _check(shape, request, "", problems)
    if problems:
        noun = "error" if len(problems) == 1 else "errors"
        raise Refusal(f"{len(problems)} validation {noun} detected: {'; '.join(problems)}")


def _check(shape: Any, value: Any, place: str, problems: list[str]) -> None:
    if shape.type_name == "structure":
        missing = [name for name in shape.required_members if name not in value]
        for name in missing:
            _add(problems, "null", _join(place, name), "Member must not be null")
        for name, part in value.items():
            if name in shape.members:
                _check(shape.members[name], part, _join(place, name), problems)
    elif shape.type_name == "list":
        _check_size(shape, len(value), value, place, problems)
        for position, part in enumerate(value, start=1):
            _check(shape.member, part, f"{place}.{position}.member", problems)
    elif shape.type_name == "map":
        _check_size(shape, len(value), value, place, problems)
        for part in value.values():
            _check(shape.value, part, f"{place}.value", problems)
    elif shape.type_name == "string":
        _check_text(shape, value, place, problems)
    elif shape.type_name in {"integer", "long", "float", "double"}:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            _add(problems, value, place, f"Member must have value greater than or equal to {low}")
        if high is not None and value > high:
            _add(problems, value, place, f"Member must have value less than or equal to {high}")


def _check_text(shape: Shape, value: str, place: str, problems: list[str]) -> None:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        _add(problems, value, place, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    _check_size(shape, len(value), value, place, problems)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        _add(problems, value, place, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:  # a few of AWS's patterns are Java's (\p{L}) and mean nothing here
        return True


def _check_size(shape: Shape, size: int, value: Any, place: str, problems: list[str]) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        _add(problems, value, place, f"Member must have length greater than or equal to {low}")
    if high is not None and size > high:
        _add(problems, value, place, f"Member must have length less than or equal to {high}")


def _join(place: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{place}.{name}" if place else name


def _add(problems: list[str], value: Any, place: str, constraint: str) -> None:
    problems.append(f"Value '{value}' at '{place}' failed to satisfy constraint: {constraint}")
