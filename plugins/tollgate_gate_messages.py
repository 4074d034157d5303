"""What the mails about gates and failed tasks say."""

from __future__ import annotations

from typing import Any

from include.contracts import GateReport, PartitionRef, RuleFinding
from include.declaration.loader import get_pipeline
from include.declaration.models import Pipeline
from include.errors import GateBlocked, TollgateError
from include.links import link_report
from include.mail.compose import Mail
from include.settings import load_settings
from tollgate_letters import point_at_log, write_mail

_GATES = {"refresh": "Refresh", "schema": "Refresh", "features": "Features", "predictions": "Predictions"}


def _link_evidence(report: GateReport, context: Any) -> list[tuple[str, str]]:
    settings = load_settings()
    return [
        ("Validation result (data docs)", link_report(settings, report.docs_path)),
        ("Gate report", link_report(settings, report.report_path)),
        point_at_log(context),
    ]


def _describe_finding(finding: RuleFinding) -> tuple[str, str]:
    named = finding.column and finding.column not in finding.rule
    place = f"{finding.rule} ({finding.column})" if named else finding.rule
    text = f"{finding.severity}, {finding.status}"
    if finding.unexpected_count is not None:
        share = f" ({finding.unexpected_percent:.2f} %)" if finding.unexpected_percent is not None else ""
        text += f": {finding.unexpected_count} rows{share}"
    if finding.observed is not None:
        text += f"; observed {finding.observed}"
    if finding.examples:
        text += f"; for example {', '.join(finding.examples[:5])}"
    if finding.detail:
        text += f"; {finding.detail}"
    return place, text


def _list_failing(report: GateReport) -> list[RuleFinding]:
    """What did not pass, rules and the gate's own checks; a rule within its tolerance passed, and is a finding too."""
    return [finding for finding in report.findings if finding.status != "passed"]


def _count_failing(report: GateReport) -> str:
    number = len(_list_failing(report))
    return f"{number} check{'s' * (number != 1)} did not pass on {report.rows} rows"


def _name_failure(task: Any) -> str:
    """One mail for a failure, whoever reports it: its task, or Airflow after the run, without a reason."""
    return f"failed/{task.dag_id}/{task.run_id}/{task.task_id}/{task.map_index}/{task.try_number}"


def describe_failure(context: Any) -> Mail:
    """A task has failed for good: a blocked gate in its own words, anything else with its error and next step."""
    task, error = context["ti"], context.get("exception")
    pipeline = get_pipeline(load_settings(), task.dag_id.partition(".")[0])
    facts = error.facts if isinstance(error, TollgateError) else {}
    if isinstance(error, TollgateError) and isinstance(facts.get("report"), GateReport):
        return _describe_blocked(pipeline, error, facts["report"], context)
    if isinstance(error, TollgateError):
        line, next_step = error.message, error.next_step
    else:
        line = f"{type(error).__name__}: {error}" if error else "The task was killed or timed out."
        next_step = "Read the log; clear the task to run it again, which is safe: it resumes what it had begun."
    partition = getattr(context.get("dag_run"), "partition_key", None)
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=_name_failure(task),
        tone="bad",
        subject=f"{task.task_id} failed",
        headline=f"{task.task_id} of {task.dag_id} failed",
        lines=(line,),
        facts=(
            ("Task", f"{task.dag_id} · {task.task_id}"),
            ("Run", task.run_id),
            *([("Partition", str(partition))] if partition else []),
            ("Tries", str(task.try_number)),
            *((name, str(value)) for name, value in facts.items()),
        ),
        next_step=next_step,
        links=[point_at_log(context)],
    )


def _describe_blocked(pipeline: Pipeline, error: TollgateError, report: GateReport, context: Any) -> Mail:
    what = _GATES[report.gate]
    if isinstance(error, GateBlocked):
        line = f"{_count_failing(report)}; {report.rules_evaluated} of {report.rules_declared} rules were evaluated."
        next_step = "Correct the source and land the partition again; the same content is not looked at twice."
    else:
        # The gate could not judge: a suite that is not whole is no fault of the data.
        line, next_step = error.message, error.next_step
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=_name_failure(context["ti"]),
        tone="bad",
        subject=f"{what.lower()} {report.subject} blocked",
        headline=f"{what} {report.subject} was stopped by its gate",
        lines=(f"{line} Nothing was trained on it and what is being served is untouched.",),
        facts=tuple(_describe_finding(finding) for finding in _list_failing(report)),
        next_step=next_step,
        links=_link_evidence(report, context),
    )


def describe_warning(pipeline: Pipeline, published: PartitionRef, report: GateReport, context: Any) -> Mail:
    """A refresh passed with something to say: a warning rule failed, or rows were set aside."""
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"warned/{published.partition}/{published.version}",
        tone="warn",
        subject=f"refresh {published.partition} published with warnings",
        headline=f"Refresh {published.partition} was published with warnings",
        lines=(
            f"{published.rows} rows were published and {published.quarantined} set aside with their reasons; "
            "training goes on with the published rows.",
        ),
        facts=tuple(_describe_finding(finding) for finding in report.findings),
        next_step="Look at the rows that were set aside; land a corrected file to replace this version.",
        links=_link_evidence(report, context),
    )


def describe_features_warning(pipeline: Pipeline, report: GateReport, context: Any) -> Mail:
    """The features passed, but a rule that only warns did not."""
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"warned/features/{report.subject}/{context['ti'].run_id}",
        tone="warn",
        subject=f"features {report.subject} passed with warnings",
        headline=f"Features {report.subject} passed with warnings",
        lines=(f"{_count_failing(report)}. Rules that only warn stop no training: this one goes on.",),
        facts=tuple(_describe_finding(finding) for finding in _list_failing(report)),
        next_step="Look at the data docs. A rule that shall stop a training has the severity critical.",
        links=_link_evidence(report, context),
    )
