"""A tolerated rule as a condition on one row, in DuckDB's SQL, true for the rows that break it.

The NULL policy is Great Expectations' own: a missing value breaks no rule except "not null". The gate compares what a
predicate counts with what GX counted, so the two can never drift apart unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from include.gates.source import quote_name, quote_text
from include.gates.suites import Rule, Suite, invalid_suite, resolve_kwargs


class _NoPredicateError(ValueError):
    """The rule cannot be said about one row."""


def _write_literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _NoPredicateError(f"{value} is not a finite number")
        return f"CAST({value!r} AS DOUBLE)"
    if isinstance(value, str):
        return quote_text(value)
    raise _NoPredicateError(f"a {type(value).__name__} cannot be compared with a column")


def _write_bounds(subject: str, kwargs: Mapping[str, Any]) -> str:
    sides = []
    for bound, strict, loose_sign, strict_sign in (
        ("min_value", "strict_min", ">=", ">"),
        ("max_value", "strict_max", "<=", "<"),
    ):
        if kwargs.get(bound) is not None:
            sign = strict_sign if kwargs.get(strict) else loose_sign
            sides.append(f"{subject} {sign} {_write_literal(kwargs[bound])}")
    if not sides:
        raise _NoPredicateError("it has neither min_value nor max_value")
    return " AND ".join(sides)


def _write_members(kwargs: Mapping[str, Any]) -> str:
    members = kwargs.get("value_set")
    if not isinstance(members, list) or not members:
        raise _NoPredicateError("value_set must be a list with at least one value")
    return f"({', '.join(_write_literal(member) for member in members)})"


def _write_between(kwargs: Mapping[str, Any]) -> str:
    return _write_bounds(quote_name(str(kwargs["column"])), kwargs)


def _write_length(kwargs: Mapping[str, Any]) -> str:
    return _write_bounds(f"length({quote_name(str(kwargs['column']))})", kwargs)


def _write_in_set(kwargs: Mapping[str, Any]) -> str:
    return f"{quote_name(str(kwargs['column']))} IN {_write_members(kwargs)}"


def _write_not_in_set(kwargs: Mapping[str, Any]) -> str:
    return f"{quote_name(str(kwargs['column']))} NOT IN {_write_members(kwargs)}"


def _write_match(kwargs: Mapping[str, Any]) -> str:
    return f"regexp_matches({quote_name(str(kwargs['column']))}, {quote_text(str(kwargs['regex']))})"


def _write_not_match(kwargs: Mapping[str, Any]) -> str:
    return f"NOT {_write_match(kwargs)}"


def _write_pair(kwargs: Mapping[str, Any]) -> str:
    if kwargs.get("ignore_row_if") != "either_value_is_missing":
        raise _NoPredicateError('a tolerated pair rule must say "ignore_row_if": "either_value_is_missing"')
    sign = ">=" if kwargs.get("or_equal") else ">"
    return f"{quote_name(str(kwargs['column_A']))} {sign} {quote_name(str(kwargs['column_B']))}"


# What a good row satisfies; NULL means that the rule has nothing to say about the row.
_WRITERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "expect_column_values_to_be_between": _write_between,
    "expect_column_value_lengths_to_be_between": _write_length,
    "expect_column_values_to_be_in_set": _write_in_set,
    "expect_column_values_to_not_be_in_set": _write_not_in_set,
    "expect_column_values_to_match_regex": _write_match,
    "expect_column_values_to_not_match_regex": _write_not_match,
    "expect_column_pair_values_a_to_be_greater_than_b": _write_pair,
}
_NOT_NULL = "expect_column_values_to_not_be_null"


def write_predicate(suite: str, rule: Rule, parameters: Mapping[str, Any]) -> str:
    """SQL that is true for a row that breaks ``rule`` and false for every other row; it is never NULL.

    Raises SuiteInvalid for a kind of rule that cannot be said about one row.
    """
    kwargs = resolve_kwargs(suite, rule, parameters)
    if kwargs.get("row_condition") is not None:
        raise invalid_suite(suite, "a tolerated rule cannot have a row_condition", rule.name)
    if rule.type == _NOT_NULL:
        return f"({quote_name(str(kwargs['column']))} IS NULL)"
    writer = _WRITERS.get(rule.type)
    if writer is None:
        known = ", ".join(sorted([*_WRITERS, _NOT_NULL]))
        raise invalid_suite(suite, f"`mostly` below 1 is only for rules on single rows: {known}", rule.name)
    try:
        return f"(NOT coalesce({writer(kwargs)}, TRUE))"
    except (_NoPredicateError, KeyError) as error:
        raise invalid_suite(suite, f"no row predicate: {error}", rule.name) from error


def write_predicates(suite: Suite, parameters: Mapping[str, Any]) -> dict[str, str]:
    """The predicates of every tolerated rule of a suite, by rule name."""
    return {rule.name: write_predicate(suite.name, rule, parameters) for rule in suite.rules if rule.tolerates}
