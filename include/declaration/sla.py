"""The part of a declaration that says by when things are to be done, and who hears of it when they are not."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from include.declaration.parts import DurationText, Part, parse_duration

# The tasks of each DAG that may have a limit of their own. find_arrivals and ask_approval are not among them: what they
# wait for is data and a person, which ``freshness`` and ``approval.within`` are about.
STAGE_TASKS: dict[str, tuple[str, ...]] = {
    "data_refresh": ("take_in_arrival", "gate_refresh", "publish_partition", "record_published"),
    "train_model": (
        "choose_window",
        "open_run",
        "order_candidates",
        "prepare_training_set",
        "gate_features",
        "fit_candidate",
        "bless_best",
        "register_model",
        "close_run",
    ),
    "deploy_model": (
        "choose_version",
        "try_in_sandbox",
        "measure_latency",
        "apply_decision",
        "shift_traffic",
        "await_rollout",
        "deploy_champion",
        "close_deployment",
    ),
}
EVERY_TASK = "*"
_RELATIVE = re.compile(r"(\d+(?:\.\d+)?)\s*[×x]\s*usual")
_NOTIFIER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Limit:
    """One limit as declared: ``seconds`` of an absolute one, or ``factor`` times what is usual."""

    text: str
    seconds: float | None = None
    factor: float | None = None


def parse_limit(text: str) -> Limit:
    """Read "30m" or "2 × usual" ("2x usual" too). Raises ValueError otherwise."""
    relative = _RELATIVE.fullmatch(text.strip())
    if relative is None:
        try:
            return Limit(text, seconds=parse_duration(text).total_seconds())
        except ValueError as error:
            raise ValueError(f'{error}; or as a multiple of what is usual: "2 × usual"') from None
    if float(relative[1]) <= 1:
        raise ValueError(f"{text!r} is passed by every other run; the multiple must be above 1")
    return Limit(f"{relative[1]} × usual", factor=float(relative[1]))


def parse_limits(limits: str | tuple[str, ...] | None) -> tuple[Limit, ...]:
    """The limits of one thing; empty for none. Raises ValueError for a text that is no limit."""
    given = () if limits is None else (limits,) if isinstance(limits, str) else limits
    return tuple(parse_limit(text) for text in given)


def _check_limits(limits: str | tuple[str, ...]) -> str | tuple[str, ...]:
    parse_limits(limits)
    return limits


def _check_notifier(name: str) -> str:
    if not _NOTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} is not module:Class, such as airflow.providers.slack.notifications.slack:SlackNotifier"
        )
    return name


# Several limits: the first that passes counts, so that "2 × usual" has a bound before there is anything usual.
Limits = Annotated[str | tuple[str, ...], AfterValidator(_check_limits)]


class Notifier(Part):
    """Any notifier of Airflow beside the mail, such as Slack's or PagerDuty's; its provider has to be installed.

    ``arguments`` are its own; in those that it renders, ``{{ tollgate.subject }}``, ``text``, ``pipeline``, ``kind``,
    ``dag_id``, ``run_id``, ``task_id`` and ``url`` say what was missed. Give the id of a connection, never a secret.
    """

    name: Annotated[str, AfterValidator(_check_notifier)]
    arguments: dict[str, Any] = {}


class LatencyWatch(Part):
    """How often the endpoint's own figures are held against ``deployment.latency``'s p50_ms, p95_ms and p99_ms.

    Judged are the answers since the look before, at least ``requests`` of them, each version by itself. Too many of
    them must be too slow to be chance (one in a million) before anybody is told.
    """

    every: DurationText = "1m"
    requests: int = Field(200, ge=20)


class Sla(Part):
    """By when things are done. Each limit is "30m", "2 × usual", or several of these of which the first counts; a miss
    is mailed within 30 s, while the work still runs.

    ``freshness``: a partition's data is published this long after its period has ended. ``data_refresh``,
    ``train_model``, ``deploy_model``: a DAG run, counted from when it was queued; one that waits for data that has not
    arrived is not late, its data is. ``tasks``: a try of a task, counted from its start, and its wait for a worker from
    when it was queued; named "train_model.fit_candidate", or "train_model.*" for every other task of a stage.
    ``refresh_to_served``: from the refresh's run being queued to the endpoint serving what was trained on it.

    Usual is the median of the last runs that did all their work, with about as many rows; with fewer than
    ``usual_runs`` of them a relative limit says nothing. It lets at least ``usual_margin`` pass beyond the usual: a
    busy machine takes that from a task of a second without anything being wrong.
    """

    freshness: DurationText | None = None
    data_refresh: Limits | None = None
    train_model: Limits | None = None
    deploy_model: Limits | None = None
    tasks: dict[str, Limits] = {}
    refresh_to_served: Limits | None = None
    usual_runs: int = Field(3, ge=2, le=50)
    usual_margin: DurationText = "10s"
    latency: LatencyWatch = LatencyWatch()
    notifiers: tuple[Notifier, ...] = ()

    @model_validator(mode="after")
    def _check_tasks(self) -> Sla:
        known = [f"{stage}.{task}" for stage, tasks in STAGE_TASKS.items() for task in (*tasks, EVERY_TASK)]
        for name in self.tasks:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
                raise ValueError(f"no task is named {name!r}. {hint}")
        return self
