"""The watcher as a program: real processes, a real mail server on loopback, tables as Airflow's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]
import pytest
from aiosmtpd.controller import Controller

from config.sla_watcher import read_connection
from include.errors import SettingsError
from include.mail.outbox import count_pending
from include.settings import PROJECT_ROOT, load_settings
from tests.unit.declaration.test_loader import SOURCE
from tests.unit.sla.tables import Tables

T = TypeVar("T")


class Mailbox:
    """aiosmtpd's handler: keeps what it takes."""

    def __init__(self) -> None:
        self.contents: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.contents.append(envelope.content.decode())
        return "250 kept"


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(look: Callable[[], T], seconds: float = 30.0) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


class World:
    """A pipeline whose training may take three seconds, Airflow's tables, and watchers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tables = folder, Tables(folder)
        self.port, self.smtp = find_port(), find_port()
        pipeline = folder / "pipelines" / "parcels"
        pipeline.mkdir(parents=True)
        (pipeline / "__init__.py").touch()
        source = SOURCE.format(name="parcels", offset=0).rstrip().removesuffix(")")
        notifier = 'Notifier(name="tests.unit.config.test_sla_watcher:FileNotifier", arguments={"said": "{text}"})'
        (pipeline / "pipeline.py").write_text(f'{source}    sla=Sla(train_model="3s", notifiers=({notifier},)),\n)\n')
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TOLLGATE", "AIRFLOW"))},
            "TOLLGATE_HOME": str(folder / "home"),
            "TOLLGATE_PIPELINES": str(folder / "pipelines"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.tables.address,
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
                {
                    "conn_type": "smtp",
                    "host": "127.0.0.1",
                    "port": self.smtp,
                    "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 5},
                }
            ),
            "PYTHONPATH": str(PROJECT_ROOT),
        }
        self.settings = load_settings(self.env)
        self.process: subprocess.Popen[bytes] | None = None
        self.mailbox = Mailbox()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "config.sla_watcher", "--port", str(self.port)]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(command, env=self.env, cwd=PROJECT_ROOT, stdout=log, stderr=log)
        wait_for(lambda: self.read_health().get("status") == "watching")
        return self.process

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def read_health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                health: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            health = json.load(error)
        except OSError:
            return {}
        return health

    def open_server(self) -> Controller:
        controller = Controller(self.mailbox, hostname="127.0.0.1", port=self.smtp)
        controller.start()
        return controller

    def be_late(self) -> None:
        self.tables.put_run(1, "parcels.train_model", queued_at=time.time(), start_date=time.time())


class FileNotifier:
    """Named in the declaration as any of Airflow's: it writes to a file what it is told."""

    template_fields = ("said",)

    def __init__(self, said: str) -> None:
        self.said = said

    def _update_context(self, context: Any) -> Any:
        return context

    def render_template_fields(self, context: Any) -> None:
        self.said = self.said.format(**context["tollgate"])

    def notify(self, context: Any) -> None:
        with (load_settings().home / "told").open("a") as file:
            file.write(self.said + "\n\n")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.kill()


def test_a_miss_is_mailed_and_told_once_by_a_program_of_few_megabytes(world: World) -> None:
    server = world.open_server()
    try:
        process = world.start()
        world.be_late()
        wait_for(lambda: world.mailbox.contents)
        told = world.settings.home / "told"
        wait_for(told.is_file)
        time.sleep(5)
        assert len(world.mailbox.contents) == 1
        assert "train_model missed its SLA of 3s" in world.mailbox.contents[0]
        assert told.read_text().count("train_model is late") == 1
        health = world.read_health()
        assert (health["runs"], health["misses"], health["mails_pending"], health["notices_pending"]) == (1, 1, 0, 0)
        resident = psutil.Process(process.pid).memory_info().rss / 1024**2
        assert resident < 60, f"{resident:.0f} MB"
    finally:
        server.stop()


def test_a_dead_mail_server_and_a_killed_watcher_delay_a_mail_and_neither_lose_nor_double_it(world: World) -> None:
    world.start()
    world.be_late()
    wait_for(lambda: count_pending(world.settings) == 1)
    wait_for(lambda: "refused" in world.read_health()["mail_server"].lower())
    world.kill()
    world.start()
    server = world.open_server()
    began = time.monotonic()
    try:
        wait_for(lambda: world.mailbox.contents)
        print(f"{time.monotonic() - began:.1f} s after the server's return")
        world.kill()
        world.start()
        time.sleep(3)
        assert len(world.mailbox.contents) == 1
    finally:
        server.stop()


def test_killed_before_the_deadline_it_tells_after_its_restart(world: World) -> None:
    server = world.open_server()
    try:
        world.start()
        world.be_late()
        time.sleep(2.5)
        world.kill()
        time.sleep(3)
        world.start()
        began = time.monotonic()
        wait_for(lambda: world.mailbox.contents)
        assert time.monotonic() - began < 10
    finally:
        server.stop()


def test_a_declaration_that_is_edited_is_taken_up_and_one_that_breaks_changes_nothing(world: World) -> None:
    server = world.open_server()
    source = world.settings.pipelines_path / "parcels" / "pipeline.py"
    try:
        world.start()
        source.write_text("import os\nos._exit(7)\n")
        wait_for(lambda: "ended with 7" in world.read_health()["declarations"])
        world.be_late()
        wait_for(lambda: world.mailbox.contents)
        assert "SLA of 3s" in world.mailbox.contents[0]
    finally:
        server.stop()


def test_a_database_that_is_gone_is_said_by_the_health_page(world: World) -> None:
    world.start()
    world.tables.break_up()
    wait_for(lambda: "queued_at" in world.read_health()["problem"])


def test_a_mail_connection_that_is_no_json_is_named() -> None:
    with pytest.raises(SettingsError, match="AIRFLOW_CONN_SMTP_DEFAULT"):
        read_connection({"AIRFLOW_CONN_SMTP_DEFAULT": "smtp://host"})


def test_without_a_database_it_says_so(world: World) -> None:
    del world.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    command = [sys.executable, "-m", "config.sla_watcher", "--port", str(world.port)]
    done = subprocess.run(command, env=world.env, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN is not set" in done.stderr
