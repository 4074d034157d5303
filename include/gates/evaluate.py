"""One suite on one set of rows: what Great Expectations found, rule by rule, and nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb

from include.contracts import RuleFinding
from include.gates.context import build_suite, create_context, evaluate_suite, import_gx
from include.gates.findings import MAX_EXAMPLES, read_outcome, shorten_text
from include.gates.reports import make_file_name
from include.gates.source import SESSION, VIEW, make_config, make_spill_folder, open_view, quote_name
from include.gates.suites import Rule, Suite, invalid_suite, resolve_kwargs
from include.settings import Settings

Engine = Literal["duckdb", "pandas"]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation left behind: findings, the number of rules evaluated, and what the docs need."""

    findings: list[RuleFinding]
    evaluated: int
    built: Any
    result: Any
    key: Any


def _add_duckdb_batch(context: Any, settings: Settings, name: str, select: str, folder: str) -> Any:
    from include.gates.dialect import CONNECTION_STRING, DialectModule

    setup = f"{SESSION}; SET preserve_insertion_order = false; CREATE VIEW {VIEW} AS {select}"
    options = {"config": make_config(settings, folder), "setup": setup}
    source = context.data_sources.add_sql(
        name, connection_string=CONNECTION_STRING, kwargs={"connect_args": options}, create_temp_table=False
    )
    # GX decides by this module how a regex is written; for a dialect it does not know it has none.
    source.get_execution_engine().dialect_module = DialectModule("tollgate_duckdb")
    return source.add_table_asset(VIEW, table_name=VIEW).add_batch_definition_whole_table("all")


def _add_pandas_batch(context: Any, name: str) -> Any:
    source = context.data_sources.add_pandas(name)
    return source.add_dataframe_asset(VIEW).add_batch_definition_whole_dataframe("all")


def _select_refused(rule: Rule) -> str:
    """SQL for the rows that a rule refuses where GX's summary only counts them; else nothing."""
    if "unexpected_rows_query" in rule.kwargs:
        # The same braces as GX's own formatting: {batch} is the table, doubled braces are literal.
        return str(rule.kwargs["unexpected_rows_query"]).format(batch=VIEW).rstrip("; \n\t")
    if rule.type == "expect_column_values_to_not_be_null":
        # A missing value says nothing of its row; where the row stands, and the rest of it, do.
        numbered = f'SELECT row_number() OVER () AS "row number", * FROM {VIEW}'  # noqa: S608
        return f"SELECT * FROM ({numbered}) WHERE {quote_name(str(rule.kwargs['column']))} IS NULL"  # noqa: S608
    return ""


def _fetch_examples(connection: duckdb.DuckDBPyConnection, select: str) -> tuple[str, ...]:
    """The first rows of ``select``, each as ``column=value`` text."""
    found = connection.execute(f"SELECT * FROM ({select}) LIMIT {MAX_EXAMPLES}")  # noqa: S608  the reviewed suite's own
    names = [column[0] for column in found.description or ()]
    return tuple(
        shorten_text(" ".join(f"{name}={value}" for name, value in zip(names, row, strict=True)))
        for row in found.fetchall()
    )


def evaluate_select(
    settings: Settings,
    pipeline: str,
    subject: str,
    suite: Suite,
    parameters: Mapping[str, Any],
    select: str,
    engine: Engine,
) -> Evaluation:
    """Evaluate ``suite`` on the rows of the SQL ``select``; ``subject`` names the run in the data docs.

    Nothing is written to disk but what does not fit into memory. Raises SuiteInvalid when the suite cannot be built
    whole or a parameter is missing.
    """
    gx = import_gx()
    for rule in suite.rules:
        resolve_kwargs(suite.name, rule, parameters)
    built = build_suite(suite)
    context = create_context()
    run_id = gx.RunIdentifier(run_name=make_file_name(subject), run_time=datetime.now(UTC))
    run: dict[str, Any] = {"expectation_parameters": dict(parameters), "run_id": run_id}
    with make_spill_folder(settings, pipeline) as folder:
        if engine == "duckdb":
            batch = _add_duckdb_batch(context, settings, pipeline, select, folder)
        else:
            batch = _add_pandas_batch(context, pipeline)
            with open_view(settings, pipeline, select) as connection:
                run["batch_parameters"] = {"dataframe": connection.execute(f"SELECT * FROM {VIEW}").df()}  # noqa: S608
        try:
            result = evaluate_suite(context, batch, built, run)
        finally:
            if engine == "duckdb":
                # Close DuckDB now: its buffers and spill files would else live as long as GX's caches.
                batch.data_asset.datasource.get_execution_engine().engine.dispose()
    by_id = {expectation.id: rule for expectation, rule in zip(built.expectations, suite.rules, strict=True)}
    findings: list[RuleFinding] = []
    seen: set[str] = set()
    for outcome in result.results:
        evaluated = by_id.get(outcome.expectation_config.id)
        if evaluated is None or evaluated.name in seen:
            raise invalid_suite(suite.name, f"GX evaluated a rule nobody declared: {outcome.expectation_config.type}")
        seen.add(evaluated.name)
        finding = read_outcome(evaluated, outcome)
        refused = _select_refused(evaluated)
        if finding is not None and finding.status == "failed" and refused:
            with open_view(settings, pipeline, select) as connection:
                finding = replace(finding, examples=_fetch_examples(connection, refused))
        if finding is not None:
            findings.append(finding)
    findings += [
        RuleFinding(rule.name, "errored", rule.severity, rule.column, "It was declared but not evaluated.")
        for rule in suite.rules
        if rule.name not in seen
    ]
    order = {rule.name: place for place, rule in enumerate(suite.rules)}
    findings.sort(key=lambda finding: order[finding.rule])
    (key,) = context.validation_results_store.list_keys()
    return Evaluation(findings, len(seen), built, result, key)
