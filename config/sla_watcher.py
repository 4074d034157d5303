"""``python -m config.sla_watcher``: the watcher as a program of its own, which sends what it has to tell by itself.

It needs Airflow's database, the mail server and the home, and nothing of Airflow that has to be alive. Whoever kills it
loses nothing: what it knows is on disk before anybody is told. ``GET /health`` says when it looked last.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from config.loopback import get_hostname
from config.post import open_sender
from include.errors import SettingsError, TollgateError
from include.mail.notices import is_due, list_notices
from include.mail.outbox import count_pending, deliver_pending
from include.settings import PROJECT_ROOT, Settings, load_settings
from include.sla.airflow_state import AirflowState
from include.sla.watch import LOOK_SECONDS, Watcher

_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_CONNECTION = "AIRFLOW_CONN_SMTP_DEFAULT"
# Reading every declaration takes a tenth of a second; one that takes longer than this hangs.
_PLAN_SECONDS = 60.0
_NOTIFY_SECONDS = 120.0
# A mail server that is down is asked again after that long: its first mail comes at most so late after its return.
_ASK_AGAIN_SECONDS = 5.0
# Without a look for so long the watcher is not well.
_STALE_SECONDS = 30.0
_log = logging.getLogger("tollgate.sla")


def make_plan() -> str:
    """Read the declarations in a process of their own; "" or what went wrong."""
    command = [sys.executable, "-m", "include.sla.plan"]
    try:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=_PLAN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        problem = f"reading them took more than {_PLAN_SECONDS:.0f} s"
        _log.warning("Declarations are watched as before: %s", problem)
        return problem
    said = done.stderr.strip()[-2000:]
    problem = said or f"the process that reads them ended with {done.returncode}" if done.returncode or said else ""
    if problem:
        _log.warning("Declarations that cannot be read are watched as before: %s", problem)
    return problem


def read_connection(env: Mapping[str, str]) -> dict[str, Any]:
    """Airflow's mail connection. Raises SettingsError when it is not there as JSON."""
    try:
        connection: dict[str, Any] = json.loads(env.get(_CONNECTION, ""))
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"{_CONNECTION} is not JSON, so the watcher cannot send mails itself; they wait for the housekeeping.",
            next_step="Set TOLLGATE_SMTP_HOST and the settings beside it.",
            setting=_CONNECTION,
            value="(not shown)",
        ) from error
    return connection


class Post(threading.Thread):
    """Sends what waits in the outbox, apart from the looking: a mail server that hangs delays no look."""

    def __init__(self, settings: Settings, connection: Mapping[str, Any]) -> None:
        super().__init__(daemon=True, name="post")
        self._settings = settings
        self._send = open_sender(connection)
        self._wake = threading.Event()
        self.error = ""

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def run(self) -> None:
        """Send when woken, and again while something is left."""
        while True:
            self._wake.wait(_ASK_AGAIN_SECONDS)
            self._wake.clear()
            try:
                self._send_mails()
                self._call_notifiers()
            except Exception:  # noqa: BLE001 - a thread that ended would send nothing any more
                _log.exception("Sending failed; it is tried again.")
            if self.error:
                time.sleep(_ASK_AGAIN_SECONDS)

    def _send_mails(self) -> None:
        if not count_pending(self._settings):
            self.error = ""
            return
        delivery = deliver_pending(self._settings, self._send)
        if delivery.error and delivery.error != self.error:
            _log.warning("%d mails wait for the mail server: %s", delivery.pending, delivery.error)
        if delivery.sent:
            _log.info("%d mails were sent.", delivery.sent)
        self.error = delivery.error

    def _call_notifiers(self) -> None:
        if not any(is_due(notice, time.time()) for _, notice in list_notices(self._settings)):
            return
        command = [sys.executable, "-m", "config.notify"]
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=_NOTIFY_SECONDS, check=False
        )
        if done.returncode:
            _log.warning("A notifier did not work; it is tried again: %s", done.stderr.strip()[-1000:])


def _make_handler(watcher: Watcher, settings: Settings, post: Post) -> type[BaseHTTPRequestHandler]:
    class Health(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            report = watcher.report
            well = time.time() - report.looked_at < _STALE_SECONDS
            content = {
                "status": "watching" if well else "not watching",
                "looked_at": report.looked_at,
                "runs": report.runs,
                "tasks": report.tasks,
                "misses": report.misses,
                "problem": report.problem,
                "declarations": report.declarations,
                "mails_pending": count_pending(settings),
                "notices_pending": len(list_notices(settings)),
                "mail_server": post.error,
            }
            body = json.dumps(content).encode()
            self.send_response(200 if well else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet: one line for every look helps nobody."""

    return Health


def watch_for_ever(watcher: Watcher, post: Post) -> None:
    """Look every two seconds; a look that fails is logged once and repeated."""
    said = ""
    while True:
        began = time.monotonic()
        try:
            if watcher.look():
                post.wake()
            said = ""
        except (TollgateError, OSError) as error:
            if str(error) != said:
                _log.warning("%s", error)
            said = str(error)
            post.wake()  # what needs no database may have been found all the same
        time.sleep(max(0.1, LOOK_SECONDS - (time.monotonic() - began)))


def main() -> None:
    """Watch until stopped. Any error that nobody foresaw ends the program, which is then started anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    settings = load_settings()
    try:
        address = os.environ[_DATABASE]
        post = Post(settings, read_connection(os.environ))
    except KeyError:
        sys.exit(f"{_DATABASE} is not set: the watcher reads runs and tasks from Airflow's database.")
    except SettingsError as error:
        sys.exit(str(error))
    watcher = Watcher(settings, AirflowState(address), make_plan)
    server = ThreadingHTTPServer((get_hostname(), port), _make_handler(watcher, settings, post))
    threading.Thread(target=server.serve_forever, daemon=True, name="health").start()
    post.start()
    post.wake()  # what an earlier watcher left
    watch_for_ever(watcher, post)


if __name__ == "__main__":
    main()
