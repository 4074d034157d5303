"""The command's own part: who asks, what is printed, and mails that do not wait for Airflow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config import rollback as command
from config.__main__ import main
from config.environment import load_site
from config.post import send_waiting
from config.status import describe_order
from include.contracts import Rollback
from include.declaration.loader import get_pipeline
from include.mail.letters import describe_rollback
from include.mail.outbox import count_pending, queue_mail
from include.settings import PROJECT_ROOT
from include.steps.mendings import note_agreement, note_disagreement, note_mending
from tests.unit.mlflow_server import find_free_port

DONE = Rollback(
    "flight_delays", "4", "3", "2013-03", "alice", "make rollback", "gloomy", "2026-01-01T10:20:30.000+00:00",
    "500 stored rows got the answers that they had on the holdout", ("The alias follows later.",),
)  # fmt: skip


def test_it_says_what_happened_what_is_still_to_be_done_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(find_free_port())
    site = load_site({"TOLLGATE_HOME": str(tmp_path), "TOLLGATE_SMTP_PORT": port})
    asked: list[dict[str, object]] = []

    def go_back(settings: object, pipeline: object, **request: object) -> Rollback:
        asked.append(request)
        queue_mail(site.settings, describe_rollback(site.settings, ("owner@example.com",), DONE))
        return DONE

    monkeypatch.setattr(command, "go_back", go_back)
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    told = command.roll_back(site, "flight_delays", 'it\'s "bad"', "")
    assert asked == [{"by": "make rollback", "who": "alice", "reason": 'it\'s "bad"', "version": None}]
    for text in (
        "Customers of flight_delays get version 3 (2013-03) since 10:20:30 UTC.",
        "left: version 4, by alice: gloomy",
        "checked: 500 stored rows",
        "still to be done: The alias follows later.",
        "mail: 1 wait for the mail server",
        "trigger" in told and "version=4",
    ):
        assert str(text) in told
    assert count_pending(site.settings) == 1


def test_its_mail_goes_out_without_airflow(tmp_path: Path) -> None:
    from aiosmtpd.controller import Controller

    received: list[str] = []

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
            received.append(envelope.content.decode())  # type: ignore[attr-defined]
            return "250 OK"

    port = find_free_port()
    server = Controller(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        site = load_site({"TOLLGATE_HOME": str(tmp_path), "TOLLGATE_SMTP_PORT": str(port)})
        queue_mail(site.settings, describe_rollback(site.settings, ("owner@example.com",), DONE))
        assert send_waiting(site) == "1 sent"
    finally:
        server.stop()
    assert "alice rolled back from version 4 to 3" in received[0]


def test_a_pipeline_that_is_not_declared_is_said_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    assert main(["rollback", "flight_delay"]) == 1
    assert "Did you mean 'flight_delays'?" in capsys.readouterr().err


def test_status_says_what_was_mended_and_what_takes_a_person(tmp_path: Path) -> None:
    settings = dataclasses.replace(load_site({"TOLLGATE_HOME": str(tmp_path)}).settings, project_root=PROJECT_ROOT)
    pipeline = get_pipeline(settings, "flight_delays")
    assert describe_order(settings, "flight_delays") == []
    note_mending(settings, pipeline, "The pointer was lost.")
    note_disagreement(settings, pipeline, "They differ.", "Deploy one.")
    mended, disorder, advice = describe_order(settings, "flight_delays")
    assert "mended" in mended and "The pointer was lost." in mended
    assert "They differ." in disorder
    assert advice == "  what to do: Deploy one."
    note_agreement(settings, pipeline)
    assert len(describe_order(settings, "flight_delays")) == 1
