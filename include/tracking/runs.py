"""Runs by key: one writer per key, reopened on a retry, and never left RUNNING after their task is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from include.contracts import Blessing, pack
from include.describe import describe_blessing
from include.errors import TrackingConflict
from include.settings import Settings
from include.tracking.client import ensure_experiment, find_experiment, open_client
from include.tracking.entries import MAX_TAG_LENGTH, log_json, log_text, read_tags, set_note, set_tags, write_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG = "tollgate.key"
PARENT_TAG = "mlflow.parentRunId"
# How a candidate's search for parameters ended; its run's note says so until a blessing does, and then still.
SEARCH_TAG = "tollgate.search"
TERMINAL_STATUSES = ("FINISHED", "FAILED", "KILLED")


def _quote(value: str) -> str:
    if "'" in value:
        raise TrackingConflict(
            f"The key {value!r} holds a quote, which MLflow's search cannot express.",
            next_step="Name runs without quotes.",
            key=value,
        )
    return f"'{value}'"


def iterate_runs(client: MlflowClient, experiment_id: str, filter_text: str) -> Iterator[Run]:
    """Every matching run, oldest first, over all pages (MLflow answers at most 1000 at once)."""
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_text, order_by=["attributes.start_time ASC"], max_results=500, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def open_run(
    settings: Settings,
    pipeline_name: str,
    key: str,
    name: str,
    tags: Mapping[str, str],
    parent_run_id: str | None = None,
) -> str:
    """Return the id of the run of ``key``, created or reopened to RUNNING, with ``tags`` set anew.

    A key must have one writer at a time (a task instance): MLflow has no unique keys. A second run that a repeated
    request made is closed as KILLED, the oldest is kept. Raises TrackingConflict when the key's run has another
    parent.
    """
    with open_client(settings) as client:
        experiment_id = ensure_experiment(client, pipeline_name)
        same_key = f"tags.`{KEY_TAG}` = {_quote(key)}"
        wanted = {str(tag): str(value)[:MAX_TAG_LENGTH] for tag, value in tags.items()}
        found = list(iterate_runs(client, experiment_id, same_key))
        if not found:
            first = {KEY_TAG: key, **wanted} | ({PARENT_TAG: parent_run_id} if parent_run_id is not None else {})
            client.create_run(experiment_id, tags=first, run_name=name)
            # Looked for again: MLflow's client repeats a request whose answer was lost, which makes a second run.
            found = list(iterate_runs(client, experiment_id, same_key))
        run, *doubles = found
        parent = run.data.tags.get(PARENT_TAG)
        if parent != parent_run_id:
            raise TrackingConflict(
                f"MLflow's run {run.info.run_id} of {key!r} belongs to parent {parent}, not to {parent_run_id}.",
                next_step="Give the new run a key of its own.",
                key=key,
                run_id=run.info.run_id,
                parent=parent,
                wanted_parent=parent_run_id,
            )
        for double in doubles:
            if double.info.status not in TERMINAL_STATUSES:
                client.set_terminated(double.info.run_id, "KILLED")
        if run.info.status != "RUNNING":
            client.update_run(run.info.run_id, status="RUNNING")
        changed = {tag: value for tag, value in wanted.items() if run.data.tags.get(tag) != value}
        write_tags(client, run.info.run_id, changed)
        return str(run.info.run_id)


def close_run(
    settings: Settings,
    run_id: str,
    status: Literal["FINISHED", "FAILED", "KILLED"],
    sweep_children: bool = True,
) -> list[str]:
    """End the run with ``status`` and return the ids of those below it that were still open, now KILLED.

    The lowest first, so that a kill in between leaves an open parent, which a repeat finds again.
    """
    with open_client(settings) as client:
        run = client.get_run(run_id)
        swept: list[str] = []
        if sweep_children:
            swept = _list_open_below(client, run.info.experiment_id, run_id)
            for each_id in swept:
                client.set_terminated(each_id, "KILLED")
        if run.info.status != status:
            client.set_terminated(run_id, status)
        return swept


def _list_open_below(client: MlflowClient, experiment_id: str, run_id: str) -> list[str]:
    """Open children, and theirs (the trials of a search), each before its parent.

    Below a closed run nothing is looked for: what was open there was closed before it.
    """
    found: list[str] = []
    for child in list(iterate_runs(client, experiment_id, f"tags.`{PARENT_TAG}` = {_quote(run_id)}")):
        if child.info.status not in TERMINAL_STATUSES:
            found += [*_list_open_below(client, experiment_id, child.info.run_id), child.info.run_id]
    return found


def _find_top(client: MlflowClient, run: Run) -> Run:
    """The run that has no parent, above this one or itself."""
    while (parent := run.data.tags.get(PARENT_TAG)) is not None:
        run = client.get_run(parent)
    return run


def sweep_abandoned(settings: Settings, pipeline_name: str, is_alive: Callable[[str], bool]) -> list[str]:
    """Close as KILLED every open run whose owner is over, with its children; returns the ids of what it closed.

    The owner's key is that of the top-level run; ``is_alive(key)`` says whether it still works. It is asked for a child
    of a closed run too: a task that was cleared alone works on under a parent that stays closed. Runs without a key are
    a person's own and are left alone.
    """
    with open_client(settings) as client:
        experiment_id = find_experiment(client, pipeline_name)
        if experiment_id is None:
            return []
        still_open: Sequence[Run] = list(iterate_runs(client, experiment_id, "attributes.status = 'RUNNING'"))
        closed: list[str] = []
        # Parents first: closing one closes its children.
        for run in sorted(still_open, key=lambda run: PARENT_TAG in run.data.tags):
            key = _find_top(client, run).data.tags.get(KEY_TAG)
            if run.info.run_id in closed or KEY_TAG not in run.data.tags or key is None or is_alive(key):
                continue
            ended = [*close_run(settings, run.info.run_id, "KILLED"), run.info.run_id]
            if is_alive(key):
                # Cleared and opened again between the question and the kill: what it opened is its own.
                for run_id in ended:
                    client.update_run(run_id, status="RUNNING")
            else:
                closed += ended
        return closed


def log_blessing(settings: Settings, run_id: str, blessing: Blessing, links: Mapping[str, str]) -> None:
    """Store the verdict on ``run_id`` (the parent) and on the candidate's own run: as JSON, as text, as tags, and as
    the note on top of the run's page, which ``links`` (label to address) lead on from. A repeat replaces it."""
    text = describe_blessing(blessing)
    verdict, _, found = text.partition("\n\n")
    note = "\n\n".join((verdict, " · ".join(f"[{label}]({url})" for label, url in links.items()), found))
    tags = {
        "tollgate.blessing": "blessed" if blessing.blessed else "refused",
        "tollgate.blessed_candidate": blessing.candidate,
        "tollgate.champion_version": blessing.champion_version or "none",
    }
    searched = read_tags(settings, blessing.candidate_run_id).get(SEARCH_TAG)
    notes = {run_id: note, blessing.candidate_run_id: f"{note}\n\n{searched}" if searched else note}
    for target, own_note in notes.items():
        log_json(settings, target, pack(blessing), "blessing/blessing.json")
        log_text(settings, target, text, "blessing/blessing.md")
        set_tags(settings, target, tags)
        set_note(settings, target, own_note)
