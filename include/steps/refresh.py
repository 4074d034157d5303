"""A refresh from the landing folder to a published partition, or to a verdict that stops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from include.contracts import Arrival, GateReport, PartitionRef, Refresh, RunIdentity
from include.data.ledger import find_verdict, record_refused, record_sighting, record_verdict
from include.data.publish import publish_partition
from include.data.snapshot import take_in
from include.declaration.models import Pipeline
from include.errors import RefreshChanged, TerminalError
from include.gates.gate import raise_if_blocked, run_refresh_gate
from include.gates.schema import check_schema
from include.gates.split import split_rows
from include.gates.suites import read_suite_version
from include.settings import Settings


def take_in_arrival(settings: Settings, pipeline: Pipeline, arrival: Arrival, identity: RunIdentity) -> Refresh:
    """Copy an arrival into our own keeping and fingerprint it.

    Raises PartitionNameError or RefreshUnreadable, after recording the refusal, when its name or type is not usable;
    RefreshChanged when what lies there now is another arrival, which is not refused by this.
    """
    try:
        return take_in(settings, pipeline, arrival)
    except RefreshChanged:
        raise
    except TerminalError as error:
        record_refused(settings, pipeline, arrival, error)
        raise


def describe_known_content(
    settings: Settings, pipeline: Pipeline, refresh: Refresh, arrival: Arrival, identity: RunIdentity
) -> str | None:
    """A sentence when another run already judged this very content (the file is then noted as seen), else None.

    Content that was blocked by a suite that has been corrected since is not known: it is judged again.
    """
    verdict = find_verdict(settings, refresh)
    if verdict is None or verdict.get("run_id") == identity.run_id:
        return None
    suite_version = verdict.get("suite_version")
    if suite_version and suite_version != read_suite_version(settings, pipeline.data.suite):
        return None
    record_sighting(settings, refresh, arrival)
    return (
        f"The same content of {refresh.partition} was {verdict['status']} on {verdict['recorded_at']} "
        f"by {verdict.get('run_id', 'an earlier run')}; there is nothing to do."
    )


@contextmanager
def _record_if_blocked(settings: Settings, refresh: Refresh, arrival: Arrival, identity: RunIdentity) -> Iterator[None]:
    """Close the refresh in the ledger as blocked when the step inside refuses it."""
    try:
        yield
    except TerminalError as error:
        _record_blocked(settings, refresh, arrival, error, identity)
        raise


def _record_blocked(
    settings: Settings, refresh: Refresh, arrival: Arrival, error: TerminalError, identity: RunIdentity
) -> None:
    report = error.facts.get("report")
    evidence = report if isinstance(report, GateReport) else None
    suite_version = evidence.rules_version if evidence and evidence.gate == "refresh" else ""
    record_verdict(
        settings,
        refresh,
        arrival,
        "blocked",
        run_id=identity.run_id,
        run_url=identity.url,
        reason=error.message,
        rules_version=evidence.rules_version if evidence else "",
        # A suite that broke after its gate has no report, and no content shall stay blocked by it either.
        suite_version=suite_version or str(error.facts.get("suite_version", "")),
        report_path=evidence.report_path if evidence else "",
        docs_path=evidence.docs_path if evidence else "",
    )


def gate_refresh(
    settings: Settings, pipeline: Pipeline, refresh: Refresh, arrival: Arrival, identity: RunIdentity
) -> GateReport:
    """Schema, then Great Expectations. The evidence is stored and the verdict recorded before GateBlocked is raised."""
    with _record_if_blocked(settings, refresh, arrival, identity):
        report = check_schema(settings, pipeline, refresh)
        if report.verdict != "block":
            report = run_refresh_gate(settings, pipeline, refresh)
        raise_if_blocked(report)
    return report


def publish_refresh(
    settings: Settings,
    pipeline: Pipeline,
    refresh: Refresh,
    arrival: Arrival,
    report: GateReport,
    identity: RunIdentity,
) -> PartitionRef:
    """Set aside the rows that a tolerant rule refuses and publish the rest as a content-addressed version."""
    with _record_if_blocked(settings, refresh, arrival, identity):
        return publish_partition(settings, pipeline, refresh, split_rows(settings, pipeline, refresh), report)


def record_published(
    settings: Settings, refresh: Refresh, arrival: Arrival, published: PartitionRef, identity: RunIdentity
) -> None:
    """Close the refresh in the ledger. Only now does its content count as seen; what was killed earlier runs again."""
    record_verdict(
        settings,
        refresh,
        arrival,
        "published",
        run_id=identity.run_id,
        run_url=identity.url,
        reason="passed every rule" if published.verdict == "pass" else "passed with warnings",
        verdict=published.verdict,
        version=published.version,
        rules_version=published.rules_version,
        rows=published.rows,
        quarantined=published.quarantined,
        report_path=published.report_path,
        docs_path=published.docs_path,
    )
