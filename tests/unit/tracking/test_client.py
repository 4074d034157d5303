"""The connection: bounded when the server is down, the same experiment for every racing creator."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.errors import TrackingConflict, TrackingUnavailable
from include.settings import Settings
from include.tracking.client import ensure_experiment, find_experiment, open_client


def test_a_server_that_is_down_is_a_transient_error_within_the_patience(settings: Settings) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="did not answer") as caught, open_client(settings, 0.5):
        pass
    assert time.monotonic() - start < 3
    assert caught.value.retryable
    assert caught.value.uri == settings.mlflow_uri


class _Failing(BaseHTTPRequestHandler):
    """Healthy at first sight, and 503 for everything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815  http.server names its handlers so

    def log_message(self, *given: object) -> None:
        del given


def test_a_server_that_fails_in_the_middle_is_a_transient_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        down = dataclasses.replace(settings, mlflow_uri=f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(TrackingUnavailable), open_client(down) as client:
            ensure_experiment(client, "parcels")
        server.shutdown()


def test_the_client_clears_an_injected_run_id(tracked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
    with open_client(tracked):
        assert "MLFLOW_RUN_ID" not in os.environ


def test_racing_creators_of_an_experiment_all_get_the_same_one(tracked: Settings) -> None:
    start, found = threading.Barrier(4), []

    def create() -> None:
        with open_client(tracked) as client:
            start.wait()
            found.append(ensure_experiment(client, "raced"))

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_deleted_experiment_is_named_with_the_way_to_restore_it(tracked: Settings) -> None:
    with open_client(tracked) as client:
        experiment = ensure_experiment(client, "deleted")
        client.delete_experiment(experiment)
        with pytest.raises(TrackingConflict, match="restore"):
            find_experiment(client, "deleted")
