"""S16: a person decides; silence and rejection mean not deployed, and say so."""

from __future__ import annotations

import time

from config.credentials import ADMIN
from tests.scenarios.refreshes import make_month
from tests.scenarios.system import RunningSystem

PIPELINE = "approval"
DAG = f"{PIPELINE}.deploy_model"
NOT_DEPLOYED = f"{PIPELINE}: version 1 not deployed"
# What a person takes at least; an answer that comes faster may be lost to Airflow 3.3.2 (see AskApproval).
READING_SECONDS = 3.0


def wait_for_question(system: RunningSystem, run_id: str) -> None:
    system.wait_for(
        lambda: any(run_id in str(question) for question in system.api.list_approvals(DAG)) or None,
        120,
        "the question to be asked",
    )
    time.sleep(READING_SECONDS)


def test_s16_silence_then_rejection_then_approval(system: RunningSystem) -> None:
    system.land(PIPELINE, "2013-01", make_month(1))
    silent = system.wait_for_run(DAG, seconds=300)
    assert system.task_states(silent)["deploy_champion"] == "skipped"
    assert system.endpoint_version(PIPELINE) is None
    assert "Nobody answered in time" in system.wait_for_mail(NOT_DEPLOYED)["text"]

    rejected = system.api.trigger(DAG, conf={"version": "1"})
    wait_for_question(system, rejected)
    system.api.answer_approval(DAG, rejected, "ask_approval", "Reject")
    run = system.api.wait_run(DAG, rejected)
    assert system.task_states(run)["deploy_champion"] == "skipped"
    assert system.endpoint_version(PIPELINE) is None
    mail = system.wait_for(
        lambda: next((m for m in system.mails(NOT_DEPLOYED) if f"Rejected by {ADMIN}." in m["text"]), None),
        60,
        "the mail about the rejection",
    )
    assert mail["to"] == ["ml-owner@example.com"]

    approved = system.api.trigger(DAG, conf={"version": "1"})
    wait_for_question(system, approved)
    system.api.answer_approval(DAG, approved, "ask_approval", "Approve")
    run = system.api.wait_run(DAG, approved)
    assert system.task_states(run)["deploy_champion"] == "success"
    assert system.endpoint_version(PIPELINE) == "1"
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert champion.version == "1"
