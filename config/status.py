"""What is served, since when and why, and what became of each refresh: as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from config.environment import Site
from config.leftovers import find_processes
from config.ports import write_origin
from config.supervise import Supervisor
from include.console.history import HistoryRow, read_history
from include.console.misses import list_newest_misses
from include.console.order import find_disagreement, list_mendings
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.deployment.door import open_target, read_status
from include.deployment.status import EndpointStatus
from include.describe import format_number
from include.errors import TollgateError
from include.mail.notices import list_notices
from include.mail.outbox import count_pending
from include.settings import Settings

_WIDTH = 100
_LONGEST_REASON = 240
# Columns when the output is a file or a pipe.
_NO_TERMINAL = 160


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; the last one is wrapped to what the terminal has left, from 30 to 60 characters."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    room = shutil.get_terminal_size((_NO_TERMINAL, 24)).columns - sum(widths) - 2 * len(head)
    last_width = max(30, min(60, room))
    lines = []
    for row in (head, *rows):
        left = "  ".join(text.ljust(width) for text, width in zip(row[:-1], widths, strict=True))
        wrapped = textwrap.wrap(row[-1], last_width) or [""]
        lines.append(f"  {left}  {wrapped[0]}".rstrip())
        lines += [f"  {' ' * len(left)}  {line}" for line in wrapped[1:]]
    return "\n".join(lines)


def format_time(stamp: str | None) -> str:
    """An ISO time in UTC as a person reads it; "–" for none."""
    return stamp[:19].replace("T", " ") + " UTC" if stamp else "–"


def describe_rows(rows: Sequence[HistoryRow], metric: str) -> str:
    """One line for each refresh: partition, rows, outcome, version, the candidate's ``metric``, and why."""
    head = ("partition", "content", "rows", "set aside", "outcome", "version", metric, "why")
    body = [
        (
            row.partition,
            row.fingerprint[:8],
            "–" if row.rows is None else str(row.rows),
            "–" if row.quarantined is None else str(row.quarantined),
            row.outcome,
            row.version or "–",
            format_number(dict(row.metrics).get(metric)),
            shorten_reason(row.why) or "–",
        )
        for row in rows
    ]
    return format_table(head, body)


def shorten_reason(why: str) -> str:
    """The beginning of a reason; the whole of it is in the report, on the page and in the mail."""
    return textwrap.shorten(why, _LONGEST_REASON, placeholder=" …")


def keep_newest(rows: Sequence[HistoryRow]) -> list[HistoryRow]:
    """The newest row of each partition, in the order of the partitions' names."""
    newest = {row.partition: row for row in rows}
    return [newest[partition] for partition in sorted(newest)]


_SCORING_PATHS = {
    "compiled-native": "its compiled form, with native code",
    "compiled": "its compiled form, without native code",
    "pipeline": "the scikit-learn pipeline",
}


def describe_endpoint(status: EndpointStatus) -> str:
    """What one endpoint serves, in a sentence or two."""
    if status.declared_version is None and status.served_version is None:
        return f"serves nothing: {status.problem or status.state}"
    text = f"serves version {status.served_version or 'none'} ({status.partition}) since {format_time(status.since)}"
    text += f"\n  because: {status.reason or '–'} (by {status.by or '–'})"
    if status.scoring_path:
        note = f", because {shorten_reason(status.scoring_note)}" if status.scoring_note else ""
        text += f"\n  scored by: {_SCORING_PATHS.get(status.scoring_path, status.scoring_path)}{note}"
    for rule in status.rules:
        text += f"\n  rule {rule}"
    for note in status.notes:
        text += f"\n  {note}"
    if status.capture:
        text += f"\n  captures {status.capture}"
    if status.rollout:
        text += "\n  beside it: version {version}, asked {share_percent:g} % of the requests".format(**status.rollout)
        text += " ({stage} since {since})".format(**status.rollout, since=format_time(status.rollout["started_at"]))
    if status.previous_version:
        text += f"\n  before it: version {status.previous_version}"
    if not status.agree:
        text += f"\n  but version {status.declared_version} was asked for: {status.problem or status.state}"
    return text


def _describe_champion(settings: Settings, pipeline: Pipeline) -> str:
    # MLflow is imported here only: it takes seconds, and a stopped system is described without it.
    from include.tracking.registry import get_challenger, get_champion

    try:
        champion, challenger = get_champion(settings, pipeline.name), get_challenger(settings, pipeline.name)
    except TollgateError as error:
        return f"the registry does not answer: {error.message}"
    text = f"champion version {champion.version}" if champion else "no champion"
    return text + (f", challenger version {challenger.version}" if challenger else "")


def describe_order(settings: Settings, pipeline: str) -> list[str]:
    """What of registry, pointer and endpoint does not agree, and what was mended last."""
    disorder, mended = find_disagreement(settings, pipeline), list_mendings(settings, pipeline)[:1]
    lines = [f"  mended {format_time(each['at'])}: {each['done']}" for each in mended]
    if disorder is not None:
        lines.append(f"  in disorder since {format_time(disorder['since'])}: {disorder['problem']}")
        lines.append(f"  what to do: {disorder['next_step']}")
    return lines


def describe_misses(settings: Settings, pipeline: str) -> list[str]:
    """The newest missed SLAs, newest first."""
    newest = list_newest_misses(settings, pipeline)
    return [f"  SLA {format_time(each['at'])}: {each['said']}" for each in newest]


def describe_system(site: Site) -> str:
    """Everything ``make status`` says."""
    settings = site.settings
    lines = []
    running = Supervisor(site).read_pid() is not None
    if running:
        states = Supervisor(site).list_states()
        lines.append("The system is up: " + ", ".join(f"{name} {s['statename'].lower()}" for name, s in states.items()))
    else:
        left = len(find_processes(site))
        lines.append(f"The system is down{f', but {left} of its processes are left (make stop)' if left else ''}.")
    loaded = load_pipelines(settings)
    for name, pipeline in loaded.pipelines.items():
        status = read_status(settings, pipeline)
        lines += ["", f"{name}: {textwrap.shorten(pipeline.description, _WIDTH)}", f"  {describe_endpoint(status)}"]
        if running:
            lines.append(f"  registry: {_describe_champion(settings, pipeline)}")
        lines += describe_order(settings, name)
        lines += describe_misses(settings, name)
        rows = keep_newest(read_history(settings, name))
        lines += (
            ["", describe_rows(rows, pipeline.blessing.primary_metric)] if rows else ["  no refresh has arrived yet"]
        )
    for name, error in loaded.errors.items():
        lines += ["", f"{name} is not usable: {error.message} {error.next_step}"]
    pending, notices = count_pending(settings), list_notices(settings)
    if pending:
        lines += ["", f"{pending} mail(s) wait for the mail server."]
    if notices:
        lines += ["", f"{len(notices)} notice(s) wait for their notifier: {notices[-1][1]['error'] or 'not tried yet'}"]
    return "\n".join(lines)


def describe_addresses(site: Site, password: str) -> str:
    """Where everything is, for a browser."""
    settings = site.settings
    rows = [
        ("Airflow", settings.airflow_public_url, f"user admin, password {password}"),
        ("Tollgate", f"{settings.airflow_public_url}/tollgate/", "what is served and why; data docs of every gate"),
        ("MLflow", settings.mlflow_public_url, "runs, metrics, models"),
    ]
    if not site.env.get("TOLLGATE_SMTP_HOST"):
        rows.append(("Mails", f"http://127.0.0.1:{site.ports.mail}", "everything that was mailed"))
    for name, pipeline in load_pipelines(settings).pipelines.items():
        offset = pipeline.deployment.port_offset
        if offset is None:
            rows.append((name, open_target(settings, pipeline).status().url, "asked through the service's own client"))
            continue
        origin = write_origin(settings.endpoint_host, settings.endpoint_port + offset)
        rows.append((name, origin, "POST /invocations, GET /version, GET /ping"))
    return format_table(("page", "address", ""), rows)
