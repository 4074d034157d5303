"""S16: a person decides; silence and rejection mean not deployed, and say so."""

from __future__ import annotations

from typing import Any

from config.credentials import ADMIN
from include.console.history import read_history
from tests.scenarios.refreshes import make_month
from tests.scenarios.system import RunningSystem

PIPELINE = "approval"
DAG = f"{PIPELINE}.deploy_model"
NOT_DEPLOYED = f"{PIPELINE}: version 1 not deployed"
# Airflow 3.3.2 may lose an answer and ask again (see AskApproval): then a person has to answer again, and so do we.
ANSWERS = 3


def is_asked(system: RunningSystem, run_id: str) -> bool:
    return any(run_id in str(question) for question in system.api.list_approvals(DAG))


def decide(system: RunningSystem, choice: str) -> dict[str, Any]:
    """The finished run of version 1's deployment in which a person chose ``choice``."""
    run_id = system.api.trigger(DAG, conf={"version": "1"})
    for _ in range(ANSWERS):
        system.wait_for(lambda: is_asked(system, run_id) or None, 120, "the question to be asked")
        system.api.answer_approval(DAG, run_id, "ask_approval", choice)
        system.wait_for(lambda: is_over(system, run_id) or is_asked(system, run_id) or None, 120, "what comes of it")
        if is_over(system, run_id):
            break
    return system.api.wait_run(DAG, run_id)


def is_over(system: RunningSystem, run_id: str) -> bool:
    return all(run["dag_run_id"] != run_id for run in system.list_busy_runs())


def check_shown(system: RunningSystem, outcome: str, why: str) -> None:
    """The page and ``make status`` say what became of version 1."""
    (row,) = read_history(system.settings, PIPELINE)
    assert (row.outcome, row.version, row.why) == (outcome, "1", why)


def test_s16_silence_then_rejection_then_approval(system: RunningSystem) -> None:
    system.land(PIPELINE, "2013-01", make_month(1))
    silent = system.wait_for_run(DAG, seconds=300)
    assert system.task_states(silent)["deploy_champion"] == "skipped"
    assert system.endpoint_version(PIPELINE) is None
    assert "Nobody answered in time" in system.wait_for_mail(NOT_DEPLOYED)["text"]
    check_shown(system, "not deployed", "Nobody answered in time.")

    run = decide(system, "Reject")
    assert system.task_states(run)["deploy_champion"] == "skipped"
    assert system.endpoint_version(PIPELINE) is None
    mail = system.wait_for(
        lambda: next((m for m in system.mails(NOT_DEPLOYED) if f"Rejected by {ADMIN}." in m["text"]), None),
        60,
        "the mail about the rejection",
    )
    assert mail["to"] == ["ml-owner@example.com"]
    check_shown(system, "not deployed", f"Rejected by {ADMIN}.")

    run = decide(system, "Approve")
    assert system.task_states(run)["deploy_champion"] == "success"
    assert system.endpoint_version(PIPELINE) == "1"
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert champion.version == "1"
    check_shown(system, "deployed", "the first champion")
