"""Stored suites are read whole or refused with the rule that does not fit."""

from __future__ import annotations

import json

import pytest

from include.errors import SuiteInvalid
from include.gates.context import build_suite
from include.gates.suites import load_suite, parse_suite, resolve_kwargs
from include.settings import Settings
from tests.unit.gates.suite_files import BETWEEN, NOT_NULL, make_rule, write_suite


def test_a_rule_is_named_by_type_and_column_and_numbered_when_repeated(settings: Settings) -> None:
    rules = [make_rule(BETWEEN, column="weight", min_value=0), make_rule(BETWEEN, column="weight", max_value=99)]
    write_suite(settings, "parcels_refresh", *rules)
    names = [rule.name for rule in load_suite(settings, "parcels_refresh").rules]
    assert names == [f"{BETWEEN}(weight)", f"{BETWEEN}(weight) #2"]


def test_the_version_follows_the_content_and_not_its_layout(settings: Settings) -> None:
    path = write_suite(settings, "parcels_refresh", make_rule(NOT_NULL, column="weight"))
    first = load_suite(settings, "parcels_refresh").version
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7, sort_keys=True))
    assert load_suite(settings, "parcels_refresh").version == first
    write_suite(settings, "parcels_refresh", make_rule(NOT_NULL, column="delay"))
    assert load_suite(settings, "parcels_refresh").version != first


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "list of `expectations`"),
        (b'{"name": "s", "expectations": []}', "no rules"),
        (b'{"name": "other", "expectations": [{"type": "a"}]}', "names itself"),
        (b'{"name": "s", "id": "1", "expectations": [{"type": "a"}]}', "carries an `id`"),
        (b'{"name": "s", "expectations": [{"type": "a", "id": "1"}]}', "carries an `id`"),
        (b'{"name": "s", "expectations": [{"type": "a", "serverity": "info"}]}', "serverity"),
        (b'{"name": "s", "expectations": [{"type": "a", "severity": "fatal"}]}', "fatal"),
        (b'{"name": "s", "expectations": [{"kwargs": {}}]}', "text `type`"),
        (b'{"name": "s", "expectations": [{"type": "a", "kwargs": []}]}', "`kwargs`"),
    ],
)
def test_a_suite_that_is_not_whole_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(SuiteInvalid, match=said):
        parse_suite("s", document)


@pytest.mark.parametrize("name", ["../secrets", "missing", "UPPER", ""])
def test_a_name_that_is_no_stored_suite_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(SuiteInvalid):
        load_suite(settings, name)


@pytest.mark.parametrize(
    "rule",
    [
        make_rule("expect_nothing_at_all", column="weight"),
        make_rule(NOT_NULL, colum="weight"),
        make_rule(BETWEEN, column="weight", min_value=0, surprise=1),
    ],
)
def test_a_rule_that_gx_cannot_build_is_refused_and_not_dropped(rule: dict[str, object]) -> None:
    """GX itself logs such a rule and goes on without it."""
    text = json.dumps({"name": "s", "expectations": [make_rule(NOT_NULL, column="delay"), rule]}).encode()
    with pytest.raises(SuiteInvalid):
        build_suite(parse_suite("s", text))


def test_a_repeated_rule_is_refused_because_gx_may_evaluate_it_once(settings: Settings) -> None:
    rule = make_rule(NOT_NULL, column="weight")
    write_suite(settings, "parcels_refresh", rule, {**rule, "severity": "info"})
    with pytest.raises(SuiteInvalid, match="repeats rule #1"):
        load_suite(settings, "parcels_refresh")


def test_parameters_are_filled_in_at_any_depth_and_a_missing_one_is_named() -> None:
    rule = make_rule(BETWEEN, column="weight", min_value={"$PARAMETER": "low"}, max_value=9)
    suite = parse_suite("s", json.dumps({"name": "s", "expectations": [rule]}).encode())
    assert resolve_kwargs("s", suite.rules[0], {"low": 3})["min_value"] == 3
    with pytest.raises(SuiteInvalid, match="low"):
        resolve_kwargs("s", suite.rules[0], {"high": 3})
