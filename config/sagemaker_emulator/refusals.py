"""How the emulator says no: an error code and a message of AWS's, with the HTTP status they come with."""

from __future__ import annotations

from typing import Any

from include.errors import TerminalError


class Refusal(TerminalError):
    """A request that AWS would refuse; facts: ``code``, ``status`` and whatever else the answer's body holds."""

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "Correct the request.",
        code: str = "ValidationException",
        status: int = 400,
        **facts: Any,
    ) -> None:
        super().__init__(message, next_step=next_step, code=code, status=status, **facts)


def refuse_missing(kind: str, arn: str) -> Refusal:
    """The refusal of a name that nothing has: ``kind`` as AWS words it ("endpoint", "endpoint configuration")."""
    return Refusal(f'Could not find {kind} "{arn}".')


def refuse_existing(kind: str, arn: str) -> Refusal:
    """The refusal to create what is there already."""
    return Refusal(f'Cannot create already existing {kind} "{arn}".')


def refuse_taken(arn: str, kind: str = "job") -> Refusal:
    """The refusal of a job's name that was used before: a job is never forgotten."""
    return Refusal(
        f"{kind.capitalize()} names must be unique within an AWS account and region, "
        f"and a {kind} with this name already exists ({arn})",
        code="ResourceInUse",
    )
