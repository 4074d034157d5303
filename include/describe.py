"""A blessing as text for a person: one form for MLflow, the registry and mails, which do not know each other."""

from __future__ import annotations

import math

from include.contracts import Blessing, Check, LatencyFigures, LatencyReport

_WORDS = {"pass": "pass", "fail": "**fail**", "error": "**error**", "not_evaluated": "not evaluated"}
# A registry description that lists every carrier of every slice is read by nobody; the JSON has them all.
_MAX_ROWS = 60
# What follows it in a description is the newest measurement, and is replaced by the next one.
LATENCY_HEADING = "## Latency"
_CHECKS_HEAD = ("| check | verdict | observed | limit | interval | detail |", "|---|---|---|---|---|---|")


def format_number(value: float | None) -> str:
    """A figure with four decimals; "–" when there is none, and NaN or infinity by name."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    return f"{value:.4f}" if math.isfinite(value) else ("∞" if value > 0 else "−∞")


def _escape_cell(text: str) -> str:
    # Slice values come from data: they must not break out of their cell, nor become HTML where Markdown is shown.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("|", "\\|").replace("\n", " ")


def _write_row(check: Check) -> str:
    interval = f"{format_number(check.low)} to {format_number(check.high)}" if check.low is not None else "–"
    cells = [
        _escape_cell(check.name),
        _WORDS[check.status],
        format_number(check.observed),
        format_number(check.threshold),
        interval,
        _escape_cell(check.detail),
    ]
    return f"| {' | '.join(cells)} |"


def describe_blessing(blessing: Blessing) -> str:
    """Markdown: the verdict, its reasons in sentences, then a table of the checks, those that decided first."""
    verdict = "Blessed" if blessing.blessed else "Not blessed"
    against = f"the champion, version {blessing.champion_version}" if blessing.champion_version else "no champion yet"
    order = {"error": 0, "fail": 1, "pass": 2, "not_evaluated": 3}
    checks = sorted(blessing.checks, key=lambda check: order[check.status])
    lines = [
        # No heading: where MLflow lists versions it shows this line as it is written.
        f"{verdict}: {blessing.candidate} of {blessing.partition}",
        "",
        f"Pipeline {blessing.pipeline}, compared with {against}.",
        "",
        *(f"- {_escape_cell(reason)}" for reason in blessing.reasons),
        "",
        *_CHECKS_HEAD,
        *(_write_row(check) for check in checks[:_MAX_ROWS]),
    ]
    if len(checks) > _MAX_ROWS:
        lines.append(f"\n{len(checks) - _MAX_ROWS} more checks are in blessing.json.")
    lines += ["", f"Training set {blessing.training_set_digest}, window {blessing.window_digest}."]
    return "\n".join(lines)


def describe_latency(report: LatencyReport) -> str:
    """Markdown below a heading of its own: the verdict, its reasons, both versions' figures, and what has changed."""
    lines = [
        f"{LATENCY_HEADING}: {'passed' if report.passed else 'refused'}",
        "",
        *(f"- {_escape_cell(reason)}" for reason in report.reasons),
        "",
        "| version | p50 ms | p95 ms | p99 ms | requests/s | CPU ms a request | answers | scored by |",
        "|---|---|---|---|---|---|---|---|",
        _write_figures(report.candidate, "candidate"),
        *([_write_figures(report.champion, "champion")] if report.champion else []),
        "",
        *_CHECKS_HEAD,
        *(_write_row(check) for check in report.checks),
        "",
        f"{report.rows} rows a request, {report.concurrency} callers, {report.blocks} interleaved blocks"
        + (f", {report.resamples} resamples of them for the interval." if report.resamples else "."),
        "",
        *(f"- {_escape_cell(change)}" for change in report.changed),
    ]
    return "\n".join(lines)


def _write_figures(figures: LatencyFigures, role: str) -> str:
    cells = [
        f"{figures.version}, {role}",
        *(f"{value:.2f}" for value in (figures.p50_ms, figures.p95_ms, figures.p99_ms)),
        f"{figures.requests_per_second:.0f}",
        "–" if figures.cpu_ms is None else f"{figures.cpu_ms:.2f}",
        str(figures.requests),
        _escape_cell(figures.scoring_path),
    ]
    return f"| {' | '.join(cells)} |"
