"""The gate over rows: evaluate a suite, write the evidence, return the report with its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from include.contracts import GateReport, Refresh, RuleFinding
from include.declaration.models import Pipeline
from include.gates.docs import locate_result, publish_result
from include.gates.evaluate import Evaluation, evaluate_select
from include.gates.predicates import write_predicates
from include.gates.reports import store_failure, write_report
from include.gates.source import open_refresh, open_view, select_declared, select_frame
from include.gates.split import QuarantineCount, collect_parameters, count_quarantine
from include.gates.suites import Suite, load_suite
from include.gates.verdict import decide_verdict, raise_if_blocked
from include.settings import Settings

__all__ = ["raise_if_blocked", "run_frame_gate", "run_refresh_gate"]


def _compare_counts(suite: Suite, findings: list[RuleFinding], counts: QuarantineCount) -> list[RuleFinding]:
    """Findings for tolerated rules whose predicate counts other rows than GX did: quarantine would set aside others."""
    counted = {finding.rule: finding.unexpected_count or 0 for finding in findings if finding.status != "errored"}
    errored = {finding.rule for finding in findings if finding.status == "errored"}
    differing = []
    for rule in suite.rules:
        by_predicate, by_gx = counts.reasons.get(rule.name), counted.get(rule.name, 0)
        if by_predicate is not None and by_predicate != by_gx and rule.name not in errored:
            detail = f"Quarantine would set aside {by_predicate} rows, but GX counted {by_gx}."
            differing.append(RuleFinding(f"quarantine({rule.name})", "errored", "critical", rule.column, detail))
    return differing


def _check_share(pipeline: Pipeline, counts: QuarantineCount) -> list[RuleFinding]:
    limit = pipeline.data.quarantine.max_share
    share = counts.quarantined / counts.rows if counts.rows else 0.0
    if share <= limit:
        return []
    detail = f"Rows to set aside are {share:.2%} of all; the declaration allows {limit:.2%}."
    return [
        RuleFinding(
            rule="quarantine(max_share)",
            status="failed",
            severity="critical",
            detail=detail,
            unexpected_count=counts.quarantined,
            unexpected_percent=round(100 * share, 4),
        )
    ]


def _check_rows(rows: int) -> list[RuleFinding]:
    """Most rules pass vacuously on nothing, so nothing never passes."""
    detail = "There is not a single row."
    return [] if rows else [RuleFinding("rows", "failed", "critical", None, detail, "0")]


def _finish(
    settings: Settings,
    draft: GateReport,
    started: float,
    evaluation: Evaluation,
    findings: list[RuleFinding],
    counts: QuarantineCount,
) -> GateReport:
    """Complete the draft, write the evidence, then the pages it points to."""
    _, page = locate_result(settings, draft.pipeline, evaluation.key)
    report = replace(
        draft,
        verdict=decide_verdict(findings, counts.quarantined),
        rows=counts.rows,
        rules_evaluated=evaluation.evaluated,
        seconds=round(time.monotonic() - started, 3),
        findings=tuple(findings),
        docs_path=str(page),
    )
    stored = write_report(settings, report)
    publish_result(settings, draft.pipeline, evaluation.built, evaluation.result, evaluation.key)
    return stored


def _draft_report(pipeline: Pipeline, gate: Literal["refresh", "features", "predictions"], subject: str) -> GateReport:
    """What is known before anything was evaluated: it blocks."""
    return GateReport(
        pipeline=pipeline.name,
        gate=gate,
        subject=subject,
        verdict="block",
        rows=0,
        rules_declared=0,
        rules_evaluated=0,
        rules_version="",
        engine=pipeline.data.engine,
        seconds=0.0,
    )


def _load_rules(settings: Settings, draft: GateReport, name: str) -> tuple[Suite, GateReport]:
    """The suite, and the draft that names it: ``store_failure`` keeps the draft that it is given."""
    with store_failure(settings, draft):
        suite = load_suite(settings, name)
    return suite, replace(draft, rules_declared=len(suite.rules), rules_version=suite.version)


def run_refresh_gate(settings: Settings, pipeline: Pipeline, refresh: Refresh) -> GateReport:
    """Evaluate the pipeline's refresh suite on a refresh's snapshot, with bounded memory on the DuckDB engine.

    The evidence is stored before this returns; nothing is raised for bad data (see ``raise_if_blocked``). Raises
    RefreshUnreadable when the snapshot's rows cannot be read, SuiteInvalid when the suite cannot be evaluated whole,
    both after storing a report that says so (fact ``report``).
    """
    started = time.monotonic()
    suite, draft = _load_rules(settings, _draft_report(pipeline, "refresh", refresh.partition), pipeline.data.suite)
    with store_failure(settings, draft):
        parameters = collect_parameters(pipeline, refresh.partition)
        predicates = write_predicates(suite, parameters)
        with open_refresh(settings, pipeline, refresh) as connection:
            counts = count_quarantine(connection, predicates)
        select = select_declared(pipeline.data.columns, refresh)
        evaluation = evaluate_select(
            settings, pipeline.name, refresh.partition, suite, parameters, select, pipeline.data.engine
        )
    findings = evaluation.findings + _compare_counts(suite, evaluation.findings, counts)
    findings += _check_share(pipeline, counts) + _check_rows(counts.rows)
    return _finish(settings, draft, started, evaluation, findings, counts)


def run_frame_gate(
    settings: Settings,
    pipeline: Pipeline,
    gate: Literal["features", "predictions"],
    suite: str,
    parameters: Mapping[str, Any],
    parquet_path: str,
    subject: str,
) -> GateReport:
    """Evaluate a suite on a Parquet file of Tollgate's own (features or predictions); evidence is stored first.

    A rule within its tolerance passes and is listed with its count; nothing is quarantined here. Raises SuiteInvalid
    when the suite cannot be evaluated whole, after storing a report that says so (fact ``report``).
    """
    started = time.monotonic()
    parsed, draft = _load_rules(settings, _draft_report(pipeline, gate, subject), suite)
    with store_failure(settings, draft):
        select = select_frame(parquet_path)
        with open_view(settings, pipeline.name, select) as connection:
            counts = count_quarantine(connection, {})
        evaluation = evaluate_select(settings, pipeline.name, subject, parsed, parameters, select, pipeline.data.engine)
    return _finish(settings, draft, started, evaluation, evaluation.findings + _check_rows(counts.rows), counts)
