"""Gate reports as files: written before any verdict is acted on, never overwritten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.contracts import GateReport, RuleFinding, pack
from include.errors import RefreshUnreadable, SuiteInvalid
from include.gates.pages import render_findings
from include.records import list_records, utc_now, write_file_atomically
from include.settings import Settings

_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]")


def make_file_name(subject: str) -> str:
    """``subject`` as one component of a path: no separator, no leading dot, at most 100 characters."""
    return _UNSAFE.sub("_", subject).lstrip(".")[:100] or "_"


def make_stamp() -> str:
    """The current time in UTC, to the microsecond, as part of a file name."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def write_report(settings: Settings, report: GateReport) -> GateReport:
    """Store the evidence as ``<reports>/<pipeline>/gates/<gate>/<subject>-<time>.json``; return it with its path.

    Findings that have no page in the data docs get one beside it.
    """
    folder = settings.reports_root / report.pipeline / "gates" / report.gate
    path = folder / f"{make_file_name(report.subject)}-{make_stamp()}.json"
    page = path.with_suffix(".html") if report.findings and not report.docs_path else None
    stored = replace(report, report_path=str(path), docs_path=str(page) if page else report.docs_path)
    document = {"written_at": utc_now(), **pack(stored)}
    write_file_atomically(path, json.dumps(document, indent=1, allow_nan=False).encode())
    if page is not None:
        write_file_atomically(page, render_findings(stored).encode())
    return stored


def prune_reports(settings: Settings, pipeline: str, kept: int, older_than: float) -> int:
    """Remove reports and their pages last written before ``older_than`` (a time stamp) beyond the newest ``kept`` of
    each gate.

    Returns how many reports went. One that a record names stays with it: without it that verdict could not be traced.
    """
    old: list[Path] = []
    for folder in (settings.reports_root / pipeline / "gates").glob("*"):
        reports = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        old += [path for path in reports[kept:] if path.stat().st_mtime < older_than]
    named = _find_named(settings, pipeline) if old else set()
    unnamed = [path for path in old if _identify(path) not in named]
    for path in unnamed:
        path.unlink()
        path.with_suffix(".html").unlink(missing_ok=True)
    return len(unnamed)


def _identify(path: Path) -> tuple[str, str]:
    """Gate and file name: the same wherever the state folder was moved to."""
    return path.parent.name, path.name


def _find_named(settings: Settings, pipeline: str) -> set[tuple[str, str]]:
    """Whatever any record of the pipeline names that could be a report."""
    kinds = [folder.name for folder in (settings.records_root / pipeline).glob("*") if folder.is_dir()]
    records = [record for kind in kinds for _, record in list_records(settings, pipeline, kind)]
    return {_identify(Path(text)) for text in _list_texts(records) if text.endswith(".json")}


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _list_texts(inner)


@contextmanager
def store_failure(settings: Settings, draft: GateReport) -> Iterator[None]:
    """Store ``draft`` as a blocking report when the body cannot evaluate; the error carries it as fact ``report``."""
    try:
        yield
    except (RefreshUnreadable, SuiteInvalid) as error:
        rule = error.facts.get("rule") or ("suite" if isinstance(error, SuiteInvalid) else "readable")
        finding = RuleFinding(str(rule), "errored", "critical", None, str(error.facts.get("reason", error.message)))
        # By its rules' version a verdict is known to be of a suite that was corrected since.
        version = draft.rules_version or str(error.facts.get("suite_version", ""))
        failed = replace(draft, verdict="block", rules_version=version, findings=(finding,))
        error.facts["report"] = write_report(settings, failed)
        raise
