"""What ``make check`` asks of rules: every stored suite is whole, and every rule runs on its pipeline's engine.

Each suite of a declared pipeline is really evaluated, on four made-up rows of the declared columns: whether the rows
pass is of no interest, but a rule that raises there would raise (and block) on every refresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import duckdb

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN
from include.declaration.loader import load_pipelines
from include.declaration.models import ColumnType, Pipeline
from include.errors import SuiteInvalid, TollgateError
from include.gates.context import build_rule
from include.gates.evaluate import evaluate_select
from include.gates.predicates import write_predicate, write_predicates
from include.gates.source import SQL_TYPES, open_view, quote_name
from include.gates.split import collect_parameters, count_quarantine
from include.gates.suites import Suite, load_suite, resolve_kwargs
from include.settings import Settings

# What runs and misleads, with what to write instead.
_MISLEADING: Mapping[str, str] = {
    "expect_column_values_to_be_in_type_list": "it is always false for text on pandas 3; declare the type in `columns`",
    "expect_column_values_to_be_of_type": "its type names differ between engines; declare the type in `columns`",
    "expect_column_quantile_values_to_be_between": "its outcome cannot be stored; use expect_column_quantiles_within",
}
_SAMPLES: Mapping[ColumnType, tuple[str, ...]] = {
    "int": ("1", "2", "3", "5"),
    "float": ("0.1", "0.25", "0.5", "0.75"),
    "string": ("'A'", "'B'", "'C'", "'D'"),
    "timestamp": tuple(f"'2013-01-0{day} 05:00:00+00'" for day in (1, 2, 3, 4)),
    "bool": ("TRUE", "FALSE", "TRUE", "FALSE"),
}
_KINDS: Mapping[str, ColumnType] = {"number": "float", "string": "string", "category": "string"}


@dataclass(frozen=True)
class _Use:
    """One suite as one pipeline uses it."""

    suite: str
    columns: Mapping[str, ColumnType]
    parameters: Mapping[str, Any]
    quarantines: bool


def _list_uses(pipeline: Pipeline) -> list[_Use]:
    requests = {name: _KINDS[column.type] for name, column in pipeline.request.columns.items()}
    features = {feature.name: _KINDS[feature.kind] for feature in pipeline.features}
    predictions: dict[str, ColumnType] = {
        **requests,
        LABEL_COLUMN: "float",
        DAY_COLUMN: "string",
        PREDICTION_COLUMN: "float",
    }
    data, training, blessing = pipeline.data, pipeline.training, pipeline.blessing
    return [
        _Use(data.suite, data.columns, collect_parameters(pipeline, data.first), True),
        _Use(training.features_suite, features, training.features_suite_parameters, False),
        _Use(blessing.predictions_suite, predictions, blessing.predictions_suite_parameters, False),
    ]


def _select_samples(columns: Mapping[str, ColumnType]) -> str:
    rows = []
    for row in range(4):
        cells = [f"CAST({_SAMPLES[kind][row]} AS {SQL_TYPES[kind]}) AS {quote_name(n)}" for n, kind in columns.items()]
        rows.append(f"SELECT {', '.join(cells)}")
    return " UNION ALL ".join(rows)


def _check_rules(suite: Suite, use: _Use) -> list[str]:
    """Problems that can be seen rule by rule, all of them rather than the first."""
    problems = []
    for rule in suite.rules:
        if rule.type in _MISLEADING:
            problems.append(f"{rule.name}: {_MISLEADING[rule.type]}")
            continue
        try:
            build_rule(suite.name, rule)
            resolve_kwargs(suite.name, rule, use.parameters)
            if use.quarantines and rule.tolerates:
                write_predicate(suite.name, rule, use.parameters)
        except SuiteInvalid as error:
            problems.append(f"{rule.name}: {error.facts['reason']}")
    return problems


def _run_rules(settings: Settings, pipeline: Pipeline, suite: Suite, use: _Use) -> list[str]:
    """Problems that only show when the rules run on the engine."""
    select = _select_samples(use.columns)
    engine = pipeline.data.engine
    try:
        evaluation = evaluate_select(settings, pipeline.name, "check", suite, use.parameters, select, engine)
        if use.quarantines:
            with open_view(settings, pipeline.name, select) as connection:
                count_quarantine(connection, write_predicates(suite, use.parameters))
    except (TollgateError, duckdb.Error) as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001  a rule may break GX in any way; the check must name it, not end
        return [f"evaluating it raised {type(error).__name__}: {error}"]
    errored = [finding for finding in evaluation.findings if finding.status == "errored"]
    return [f"{finding.rule}: does not run on {engine}: {finding.detail}" for finding in errored]


def check_pipeline(settings: Settings, pipeline: Pipeline) -> tuple[list[str], int]:
    """Problems with the suites of one pipeline, and how many rules were checked."""
    problems, rules = [], 0
    for use in _list_uses(pipeline):
        place = f"{pipeline.name}: {use.suite}"
        try:
            suite = load_suite(settings, use.suite)
        except SuiteInvalid as error:
            problems.append(f"{place}: {error.facts['reason']}")
            continue
        rules += len(suite.rules)
        found = _check_rules(suite, use) or _run_rules(settings, pipeline, suite, use)
        problems += [f"{place}: {problem}" for problem in found]
    return problems, rules


def check_suites(settings: Settings) -> tuple[list[str], str]:
    """Every problem of every stored suite and declared pipeline, and a sentence that says what was checked."""
    problems = []
    stored = sorted(path.stem for path in (settings.gx_root / "expectations").glob("*.json"))
    for name in stored:
        try:
            load_suite(settings, name)
        except SuiteInvalid as error:
            problems.append(f"{name}: {error.message}")
    loaded = load_pipelines(settings)
    problems += [f"{name}: {error.message}" for name, error in loaded.errors.items()]
    rules = 0
    for pipeline in loaded.pipelines.values():
        found, count = check_pipeline(settings, pipeline)
        problems += [problem for problem in found if problem not in problems]
        rules += count
    said = f"{len(stored)} stored suites parsed; {rules} rules of {len(loaded.pipelines)} pipelines built and run."
    return problems, said


def report_problems(settings: Settings, output: TextIO) -> int:
    """Print every problem, then what was checked; 1 when there is a problem."""
    problems, said = check_suites(settings)
    for problem in problems:
        output.write(f"{problem}\n")
    output.write(f"{said} {len(problems)} problems.\n")
    return 1 if problems else 0
