"""The part of a candidate that is searched for and not declared: which parameters, where, how, and how long."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from include.declaration.parts import Part
from include.metrics import DESCRIPTIVE, METRICS

Scalar = bool | int | float | str | None


def _check_range(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("low and high are finite numbers")
    if low >= high:
        raise ValueError(f"low {low:g} is not below high {high:g}")
    if log and low <= 0:
        raise ValueError(f"a logarithm needs a low above 0, not {low:g}")


def _find_middle(low: float, high: float, log: bool) -> float:
    return math.sqrt(low * high) if log else (low + high) / 2


class FloatRange(Part):
    """Real numbers from ``low`` to ``high``, both included; with ``log`` as many trials below the geometric mean as
    above it. The search begins with ``start``, or with the middle where there is none."""

    low: float
    high: float
    log: bool = False
    start: float | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> FloatRange:
        _check_range(self.low, self.high, self.log)
        if self.start is not None and not self.holds(self.start):
            raise ValueError(f"start {self.start:g} is not in the range")
        return self

    def holds(self, value: object) -> bool:
        """Whether a trial could have the value."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def begin(self) -> float:
        """The value that the search begins with."""
        return _find_middle(self.low, self.high, self.log) if self.start is None else self.start


class IntRange(Part):
    """Whole numbers from ``low`` to ``high``, both included: each ``step``th of them or, with ``log``, every one. The
    search begins with ``start``, or in the middle where there is none."""

    low: int
    high: int
    step: int = Field(1, ge=1)
    log: bool = False
    start: int | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> IntRange:
        _check_range(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError("a range has a step or is logarithmic, not both")
        if (self.high - self.low) % self.step:
            raise ValueError(f"steps of {self.step} from {self.low} do not end at {self.high}")
        if self.start is not None and not self.holds(self.start):
            raise ValueError(f"start {self.start} is not in the range")
        return self

    def holds(self, value: object) -> bool:
        """Whether a trial could have the value."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0  # type: ignore[operator]

    def begin(self) -> int:
        """The value that the search begins with."""
        if self.start is not None:
            return self.start
        return self.low + round((_find_middle(self.low, self.high, self.log) - self.low) / self.step) * self.step


class Choices(Part):
    """One of these values, in no order; the search begins with ``start``, or with the first when that is not there."""

    values: tuple[Scalar, ...] = Field(min_length=2)
    start: Scalar = None

    @model_validator(mode="after")
    def _check_values(self) -> Choices:
        # True == 1 == 1.0 in Python, and so in a search.
        if len(set(self.values)) != len(self.values):
            raise ValueError("two values are equal")
        if self.start is not None and self.start not in self.values:
            raise ValueError(f"start {self.start!r} is not one of the values")
        return self

    def holds(self, value: object) -> bool:
        """Whether a trial could have the value."""
        return any(type(each) is type(value) and each == value for each in self.values)

    def begin(self) -> Scalar:
        """The value that the search begins with."""
        return self.values[0] if self.start is None else self.start


class Search(Part):
    """Parameters that are chosen by ``trials`` fits on the older training rows, each measured on the newest
    ``validation_share`` of them (by day; the holdout is not looked at).

    ``method``: "random", or "bayesian", in which later trials learn from earlier ones. ``space`` is parameter to range.
    The best ``metric`` wins; None stands for the blessing's primary metric. ``at_once`` trials are chosen together and
    go side by side where a cluster has workers for them; it is declared, and not what a machine happens to have, so
    that every machine makes the same trials. The search ends after ``max_minutes``, or when ``sla.train_model`` or the
    fit's own limit leaves no time for another trial, with the best so far.
    """

    method: Literal["random", "bayesian"]
    trials: int = Field(ge=1)
    space: dict[str, FloatRange | IntRange | Choices]
    metric: str | None = None
    at_once: int = Field(1, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    validation_share: float = Field(0.2, gt=0, le=0.5)

    @field_validator("space", mode="before")
    @classmethod
    def _check_space(cls, space: Any) -> Any:
        if not space:
            raise ValueError("there is nothing to search for; name a parameter and its range")
        for name, where in space.items() if isinstance(space, dict) else ():
            # Said here: which fields of all three kinds are missing would be said otherwise.
            if not isinstance(where, FloatRange | IntRange | Choices):
                raise ValueError(f"{name} is {where!r}; give it a FloatRange, an IntRange or Choices")
        return space

    @model_validator(mode="after")
    def _check_metric(self) -> Search:
        if self.metric is not None:
            check_metric(self.metric)
        if self.at_once > self.trials:
            raise ValueError(f"{self.at_once} at once are more than {self.trials} trials")
        return self

    def begin(self) -> dict[str, Scalar]:
        """The configuration that is declared to begin with."""
        return {name: where.begin() for name, where in self.space.items()}


def check_metric(metric: str) -> None:
    """Raise ValueError for a metric of which no value is better than another."""
    if metric not in METRICS or metric in DESCRIPTIVE:
        able = ", ".join(name for name in METRICS if name not in DESCRIPTIVE)
        raise ValueError(f"{metric!r} says of no model that it is better; there are {able}")
