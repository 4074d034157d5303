"""Suites as reviewed JSON: read whole, never written, each rule named so that a report can point at it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from include.contracts import Severity
from include.errors import SuiteInvalid
from include.settings import Settings

_SUITE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SEVERITIES: tuple[str, ...] = get_args(Severity)
_RULE_KEYS = frozenset({"type", "kwargs", "description", "severity", "meta", "notes"})
_SUITE_KEYS = frozenset({"name", "expectations", "meta", "notes", "suite_parameters"})
PARAMETER = "$PARAMETER"


@dataclass(frozen=True)
class Rule:
    """One expectation. ``name`` is unique in its suite: the GX type and what it looks at."""

    name: str
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    description: str

    @property
    def column(self) -> str | None:
        """The column, or the columns joined by commas, or None for a rule on whole rows or the whole table."""
        if "column" in self.kwargs:
            return str(self.kwargs["column"])
        pair = [str(self.kwargs[key]) for key in ("column_A", "column_B") if key in self.kwargs]
        several = pair or [str(name) for name in self.kwargs.get("column_list", ())]
        return ", ".join(several) or None

    @property
    def tolerates(self) -> bool:
        """Whether single bad rows are allowed (``mostly`` below 1) and therefore set aside, not published."""
        mostly = self.kwargs.get("mostly")
        return mostly is not None and not (isinstance(mostly, int | float) and mostly >= 1)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the suite parameters that the rule needs."""
        return frozenset(_iterate_parameters(self.kwargs))


@dataclass(frozen=True)
class Suite:
    """A parsed suite. ``version`` is a digest of its content; ``document`` is the JSON as read."""

    name: str
    version: str
    rules: tuple[Rule, ...]
    document: Mapping[str, Any]


def _iterate_parameters(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if PARAMETER in value:
            yield str(value[PARAMETER])
        for inner in value.values():
            yield from _iterate_parameters(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _iterate_parameters(inner)


def invalid_suite(suite: str, reason: str, rule: str | None = None) -> SuiteInvalid:
    """The error for a suite that cannot be evaluated whole."""
    place = f" at rule {rule}" if rule else ""
    return SuiteInvalid(
        f"Suite {suite!r} cannot be evaluated whole{place}: {reason}",
        next_step=f"Correct great_expectations/expectations/{suite}.json and run `make check`.",
        suite=suite,
        rule=rule,
        reason=reason,
    )


def _name_rule(kind: str, kwargs: Mapping[str, Any], description: str) -> str:
    bare = Rule("", kind, kwargs, "critical", description)
    about = bare.column or (description if "unexpected_rows_query" in kwargs else "")
    return f"{kind}({about})" if about else kind


def _parse_rule(suite: str, position: int, raw: Any) -> Rule:
    place = f"#{position + 1}"
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise invalid_suite(suite, "a rule is an object with a text `type`", place)
    place = f"{place} ({raw['type']})"
    if "id" in raw:
        raise invalid_suite(suite, "it carries an `id`; suites are written by hand and reviewed, so remove it", place)
    unknown = sorted(set(raw) - _RULE_KEYS)
    if unknown:
        raise invalid_suite(suite, f"unknown keys {', '.join(unknown)}; known: {', '.join(sorted(_RULE_KEYS))}", place)
    kwargs = raw.get("kwargs", {})
    if not isinstance(kwargs, dict):
        raise invalid_suite(suite, "`kwargs` must be an object", place)
    severity = raw.get("severity", "critical")
    if severity not in _SEVERITIES:
        raise invalid_suite(suite, f"severity {severity!r} is none of {', '.join(_SEVERITIES)}", place)
    description = str(raw.get("description") or "")
    return Rule(_name_rule(raw["type"], kwargs, description), raw["type"], kwargs, severity, description)


def _hash_content(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def parse_suite(name: str, content: bytes) -> Suite:
    """Read a suite from its JSON text. Raises SuiteInvalid naming the rule that does not fit."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise invalid_suite(name, f"it is not JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("expectations"), list):
        raise invalid_suite(name, "it is not an object with a list of `expectations`")
    if "id" in document:
        raise invalid_suite(name, "it carries an `id`; remove it")
    unknown = sorted(set(document) - _SUITE_KEYS)
    if unknown:
        raise invalid_suite(name, f"unknown keys {', '.join(unknown)}")
    if document.get("name") != name:
        raise invalid_suite(name, f"it names itself {document.get('name')!r}, but its file is {name}.json")
    if not document["expectations"]:
        raise invalid_suite(name, "it has no rules, and an empty gate would pass everything")
    rules = [_parse_rule(name, position, raw) for position, raw in enumerate(document["expectations"])]
    said: dict[str, str] = {}
    for position, rule in enumerate(rules):
        meaning = json.dumps([rule.type, rule.kwargs], sort_keys=True)
        if meaning in said:
            # GX may evaluate equal rules once, and then fewer would be evaluated than are declared.
            raise invalid_suite(name, f"it repeats rule {said[meaning]}", f"#{position + 1} ({rule.type})")
        said[meaning] = f"#{position + 1}"
    # Two rules may look at one column in the same way (a hard bound and a soft one): number the later ones.
    seen: dict[str, int] = {}
    named = []
    for rule in rules:
        seen[rule.name] = seen.get(rule.name, 0) + 1
        suffix = f" #{seen[rule.name]}" if seen[rule.name] > 1 else ""
        named.append(Rule(rule.name + suffix, rule.type, rule.kwargs, rule.severity, rule.description))
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Suite(name, _hash_content(canonical), tuple(named), document)


def load_suite(settings: Settings, name: str) -> Suite:
    """Read the stored suite ``name``. Raises SuiteInvalid when it is missing or not a whole suite.

    The error's fact ``suite_version`` stands for what lies there, so that a correction of it can be told.
    """
    content: bytes | None = None
    try:
        if not _SUITE_NAME.fullmatch(name):
            raise invalid_suite(name, "a suite name is lower-case letters, digits and _, starting with a letter")
        path = settings.gx_root / "expectations" / f"{name}.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise invalid_suite(name, f"there is no {path.name} in {path.parent}") from None
        return parse_suite(name, content)
    except SuiteInvalid as error:
        error.facts["suite_version"] = "missing" if content is None else f"invalid-{_hash_content(content)}"
        raise


def read_suite_version(settings: Settings, name: str) -> str:
    """The version of the stored suite as it lies there now, whole or not."""
    try:
        return load_suite(settings, name).version
    except SuiteInvalid as error:
        return str(error.facts["suite_version"])


def resolve_kwargs(suite: str, rule: Rule, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's kwargs with every ``{"$PARAMETER": name}`` replaced. Raises SuiteInvalid for one not supplied."""
    missing = sorted(rule.parameters - set(parameters))
    if missing:
        raise invalid_suite(suite, f"parameter {', '.join(missing)} is not supplied by the declaration", rule.name)

    def resolve(value: Any) -> Any:
        if isinstance(value, Mapping):
            if PARAMETER in value:
                return parameters[str(value[PARAMETER])]
            return {key: resolve(inner) for key, inner in value.items()}
        return [resolve(inner) for inner in value] if isinstance(value, list | tuple) else value

    resolved: dict[str, Any] = resolve(rule.kwargs)
    return resolved
