"""From findings to a verdict, and from a blocking verdict to an error that says everything a person needs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from include.contracts import GateReport, RuleFinding, Verdict
from include.errors import GateBlocked

_NAMED_RULES = 5
_log = logging.getLogger(__name__)


def blocks(finding: RuleFinding) -> bool:
    """Whether this finding alone stops its subject: a critical failure, or any rule that could not be evaluated."""
    return finding.status == "errored" or (finding.status == "failed" and finding.severity == "critical")


def decide_verdict(findings: Sequence[RuleFinding], quarantined: int = 0) -> Verdict:
    """Block on a critical failure or an errored rule; warn on a lesser failure or rows to set aside; else pass."""
    if any(blocks(finding) for finding in findings):
        return "block"
    if quarantined or any(finding.status == "failed" for finding in findings):
        return "warn"
    return "pass"


def _describe_finding(finding: RuleFinding) -> str:
    parts = [finding.rule]
    if finding.status == "errored":
        parts.append(f"could not be evaluated: {finding.detail}")
    else:
        if finding.unexpected_count is not None:
            share = f", {finding.unexpected_percent:g} %" if finding.unexpected_percent is not None else ""
            parts.append(f"{finding.unexpected_count} rows{share}")
        if finding.observed is not None:
            parts.append(f"observed {finding.observed}")
        if finding.examples:
            parts.append(f"such as {', '.join(finding.examples[:3])}")
        elif finding.detail:
            parts.append(finding.detail)
    return parts[0] + (f" ({'; '.join(parts[1:])})" if parts[1:] else "")


def raise_if_blocked(report: GateReport) -> None:
    """Raise GateBlocked when the report's verdict is "block"; its evidence is already stored."""
    if report.verdict != "block":
        return
    stopping = [finding for finding in report.findings if blocks(finding)]
    # A line for each: Airflow shows an error's own text in one line, cut at the edge of the window.
    for finding in stopping:
        _log.error("stops it: %s", _describe_finding(finding))
    named = "; ".join(_describe_finding(finding) for finding in stopping[:_NAMED_RULES])
    more = f"; and {len(stopping) - _NAMED_RULES} more" if len(stopping) > _NAMED_RULES else ""
    raise GateBlocked(
        f"The {report.gate} gate blocked {report.pipeline} {report.subject} ({report.rows} rows): {named}{more}.",
        next_step=f"Read {report.report_path}"
        + (f" or {report.docs_path}" if report.docs_path else "")
        + ", correct the data and land it again.",
        report=report,
        rules=tuple(finding.rule for finding in stopping),
    )
