"""The declared rules that every answer keeps: what breaks one is moved to the bound, or not given at all.

They are read from the model's own metadata, so that a model is never served under another one's rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

# What a broken number counts as breaking, whatever is declared; no declared rule may have this name.
NOT_FINITE = "not_finite"
# How a candidate's process tells its champion's which rules moved its answer or are why there is none: the champion's
# counts them and passes nothing on.
RULES_HEADER = b"x-prediction-rules"
_MOST_NAMES = 64


class PredictionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As in the declaration: inclusive bounds, None for none, and what happens to a prediction beyond them."""

    name: str
    minimum: float | None = None
    maximum: float | None = None
    action: Literal["clip", "refuse", "champion"] = "champion"

    def keeps(self, predictions: Sequence[float]) -> bool:
        """Whether all (finite, at least one) are within the bounds."""
        return not (
            (self.minimum is not None and min(predictions) < self.minimum)
            or (self.maximum is not None and max(predictions) > self.maximum)
        )

    def describe_bounds(self) -> str:
        """What a prediction may be, for a person."""
        if self.minimum is None or self.maximum is None:
            return f"at most {self.maximum:g}" if self.minimum is None else f"at least {self.minimum:g}"
        return f"from {self.minimum:g} to {self.maximum:g}"

    def clip(self, predictions: Sequence[float]) -> list[float]:
        """The same predictions, moved to the bounds."""
        lowest = -math.inf if self.minimum is None else self.minimum
        highest = math.inf if self.maximum is None else self.maximum
        return [min(max(prediction, lowest), highest) for prediction in predictions]


class RuleBroken(Exception):
    """An answer that must not be given; ``rule`` is the name of what it broke."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"a prediction broke the rule {rule!r}")
        self.rule = rule


class PredictionRules:
    """All rules of one model, in the declared order: a later one sees what an earlier one clipped.

    ``lowest`` and ``highest`` are the bounds of every answer that is given, infinite where there is none.
    """

    __slots__ = ("highest", "lowest", "rules")

    def __init__(self, rules: tuple[PredictionRule, ...] = ()) -> None:
        self.rules = rules
        # Nearly every answer keeps all rules, and that takes two comparisons to see.
        self.lowest = max((rule.minimum for rule in rules if rule.minimum is not None), default=-math.inf)
        self.highest = min((rule.maximum for rule in rules if rule.maximum is not None), default=math.inf)

    def enforce(self, predictions: list[float]) -> tuple[list[float], tuple[str, ...]]:
        """The answer to give for finite ``predictions``, and the names of the rules that moved some of them.

        Raises RuleBroken when it must not be given: also for "champion", because nobody stands in for this process.
        """
        if self.lowest <= min(predictions) and max(predictions) <= self.highest:
            return predictions, ()
        clipped = []
        for rule in self.rules:
            if not rule.keeps(predictions):
                if rule.action != "clip":
                    raise RuleBroken(rule.name)
                predictions = rule.clip(predictions)
                clipped.append(rule.name)
        return predictions, tuple(clipped)

    def describe(self, count: Callable[[str], int]) -> list[dict[str, Any]]:
        """The rules as JSON, each with how many answers it changed or refused: ``count`` of its name."""
        return [
            {**msgspec.structs.asdict(rule), "bounds": rule.describe_bounds(), "answers": count(rule.name)}
            for rule in self.rules
        ]


def enforce_rules(predictions: list[float], rules: PredictionRules) -> tuple[list[float], tuple[str, ...]]:
    """What ``rules`` make of another process's answer, whose numbers nobody has looked at yet: see ``enforce``. Raises
    RuleBroken, also with NOT_FINITE."""
    if not predictions or not all(map(math.isfinite, predictions)):
        raise RuleBroken(NOT_FINITE)
    return rules.enforce(predictions)


def write_names(names: Sequence[str]) -> bytes:
    """The value of RULES_HEADER: plain ASCII, whatever the names are."""
    return json.dumps(names).encode()


def read_names(value: bytes) -> tuple[str, ...]:
    """The names that the value of RULES_HEADER tells; none when it is no such value. Of nonsense without end some."""
    try:
        return msgspec.json.decode(value, type=tuple[str, ...])[:_MOST_NAMES] if value else ()
    except (msgspec.DecodeError, RecursionError):
        return ()


def read_rules(metadata: Mapping[str, Any]) -> PredictionRules:
    """The rules that a model was registered with; none when it was registered without. Raises ValueError."""
    rules = msgspec.convert(metadata.get("prediction_rules") or (), tuple[PredictionRule, ...])
    for rule in rules:
        bounds = [bound for bound in (rule.minimum, rule.maximum) if bound is not None]
        if not bounds or not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
            raise ValueError(f"the rule {rule.name!r} has no bounds that a prediction could keep")
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise ValueError("two rules have the same name")
    found = PredictionRules(rules)
    if found.lowest > found.highest:
        raise ValueError("no prediction could keep all of the rules")
    return found
