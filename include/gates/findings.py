"""From what Great Expectations answered to the findings of a report: small, text, safe to show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from include.contracts import RuleFinding
from include.gates.suites import Rule

MAX_EXAMPLES = 10
_MAX_TEXT = 160


def shorten_text(value: Any, limit: int = _MAX_TEXT) -> str:
    """``value`` as one printable line of at most ``limit`` characters; control characters are written as escapes."""
    text = value if isinstance(value, str) else str(value)
    cut = text[: limit + 1]
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in cut)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _iterate_exceptions(info: Any) -> Iterator[str]:
    """Messages of raised exceptions; GX gives one mapping, or one for each metric that failed."""
    if not isinstance(info, Mapping):
        return
    if info.get("raised_exception"):
        yield str(info.get("exception_message") or "an exception without a message")
    for inner in info.values():
        if isinstance(inner, Mapping):
            yield from _iterate_exceptions(inner)


def _is_absent(result: Mapping[str, Any]) -> bool:
    """Whether the rule observed one number and that number is missing or not finite."""
    if "observed_value" not in result:
        return False
    observed = result["observed_value"]
    return observed is None or (isinstance(observed, float) and not math.isfinite(observed))


def _list_examples(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Different unexpected values in the order found; a missing value is no example of anything."""
    values = [shorten_text(value) for value in result.get("partial_unexpected_list") or () if value is not None]
    return tuple(dict.fromkeys(values))[:MAX_EXAMPLES]


def read_outcome(rule: Rule, outcome: Any) -> RuleFinding | None:
    """The finding of one evaluated rule, or None when it passed without a single bad row.

    A rule that raised, or that passed on a number which is missing or not finite, is "errored".
    """
    result: Mapping[str, Any] = outcome.result or {}
    errors = list(_iterate_exceptions(outcome.exception_info))
    count = result.get("unexpected_count")
    percent = result.get("unexpected_percent")
    observed = result.get("observed_value")
    shown = None if observed is None else shorten_text(observed)
    if "unexpected_rows_query" in rule.kwargs and isinstance(observed, int):
        count, shown = observed, None
    if errors:
        return RuleFinding(rule.name, "errored", rule.severity, rule.column, shorten_text(errors[0], 400))
    if outcome.success and _is_absent(result):
        detail = f"{rule.description} What it measures is missing or not a finite number.".strip()
        return RuleFinding(rule.name, "errored", rule.severity, rule.column, detail, shown)
    if outcome.success and not count:
        return None
    return RuleFinding(
        rule=rule.name,
        status="passed" if outcome.success else "failed",
        severity=rule.severity,
        column=rule.column,
        detail=rule.description,
        observed=shown,
        unexpected_count=None if count is None else int(count),
        unexpected_percent=None if percent is None or not math.isfinite(percent) else round(float(percent), 4),
        examples=_list_examples(result),
    )
