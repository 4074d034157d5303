"""Deploying to a really running endpoint: swap, records, refusals, status."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest

from include.declaration import Deployment, Pipeline
from include.deployment.local import switch
from include.deployment.local.deploy import deploy_version, verify_deployment
from include.deployment.local.sandbox import check_sandbox
from include.deployment.local.status import read_status
from include.errors import EndpointUnavailable
from include.pointer import Pointer, locate_pointer, read_pointer
from include.settings import Settings
from tests.unit.deployment.steps import StartEndpoint, deploy_now, hurry, list_deployments, make_version


def test_a_version_is_copied_served_recorded_and_verified(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, predictions: str
) -> None:
    server = start_endpoint()
    deployment = deploy_now(settings, pipeline, "1", model_dir)
    assert (deployment.version, deployment.previous_version, deployment.target) == ("1", None, "local")
    assert deployment.endpoint_url == f"http://127.0.0.1:{server.port}"
    report = verify_deployment(settings, pipeline, make_version("1"), predictions)
    assert (report.rows, report.max_difference <= 1e-9) == (120, True)
    status = read_status(settings, pipeline)
    assert (status.state, status.declared_version, status.served_version, status.agree) == ("ready", "1", "1", True)
    assert (status.by, status.reason, status.since) == ("a test", "because 1", deployment.deployed_at)
    assert status.problem is None
    assert (status.scoring_path, status.scoring_note) == ("pipeline", "it was packaged without a compiled form")
    # The copy is the endpoint's own: the download may be cleaned away.
    assert Path(server.ask("GET", "/version")[1]["model_dir"]).parent.parent == settings.serving_root / "parcels"


@pytest.mark.slow
def test_a_deployment_to_several_workers_behind_a_token_ends_when_all_serve_it(
    settings: Settings,
    pipeline: Pipeline,
    start_endpoint: StartEndpoint,
    model_dir: Path,
    predictions: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLLGATE_ENDPOINT_WORKERS", "2")
    monkeypatch.setenv("TOLLGATE_ENDPOINT_TOKEN", "s3cret")
    start_endpoint()
    slow = pipeline.model_copy(update={"deployment": Deployment(swap_seconds=60, sandbox_seconds=60)})
    with pytest.raises(EndpointUnavailable, match="GET /version gave 401"):
        deploy_now(settings, hurry(pipeline, 1.0), "1", model_dir)
    settings = dataclasses.replace(settings, endpoint_token="s3cret")
    deploy_now(settings, slow, "1", model_dir)
    answer = switch.ask_version(switch.locate_endpoint(settings, pipeline))
    assert [worker["version"] for worker in answer["workers"]] == ["1", "1"]
    assert verify_deployment(settings, pipeline, make_version("1"), predictions).rows == 120
    assert check_sandbox(settings, slow, "1", model_dir, predictions).rows == 50


def test_a_version_is_served_only_when_every_worker_serves_it(tmp_path: Path) -> None:
    pointer = Pointer("2", "models/2-digest", "2013-01", "2013-02-01T00:00:00+00:00", "a test", "because")
    new = {"version": "2", "model_dir": "/elsewhere/models/2-digest"}
    old = {"version": "1", "model_dir": "/elsewhere/models/1-digest"}
    starting = {"version": None, "model_dir": None}
    assert switch.serves({**new, "workers": [new, new]}, tmp_path, pointer)
    for other in (old, starting, {**new, "model_dir": "/elsewhere/models/2-other"}):
        assert not switch.serves({**new, "workers": [new, other]}, tmp_path, pointer)
    assert not switch.serves({**new, "workers": []}, tmp_path, pointer), "nobody said so"


def test_the_same_version_again_swaps_nothing_and_records_nothing(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    start_endpoint()
    first = deploy_now(settings, pipeline, "1", model_dir)
    second = deploy_version(settings, pipeline, make_version("1"), model_dir, by="someone else", reason="again")
    assert second == first
    assert list_deployments(settings) == ["1"]


def test_a_model_that_the_endpoint_refuses_leaves_the_old_one_and_its_pointer(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, broken_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    before = locate_pointer(settings.serving_root / "parcels").read_bytes()
    started = time.monotonic()
    with pytest.raises(EndpointUnavailable, match="did not take up version 2") as caught:
        deploy_now(settings, pipeline, "2", broken_dir)
    assert time.monotonic() - started < 10, "the endpoint's own refusal ends the wait"
    assert caught.value.retryable
    assert locate_pointer(settings.serving_root / "parcels").read_bytes() == before
    assert server.ask("GET", "/ping") == (200, {"status": "ready", "model_version": "1"})
    assert list_deployments(settings) == ["1"]


def test_without_an_endpoint_process_nothing_changes_and_a_retry_succeeds_once_it_is_back(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    with pytest.raises(EndpointUnavailable):
        deploy_now(settings, hurry(pipeline, 0.5), "1", model_dir)
    assert read_pointer(settings.serving_root / "parcels") is None
    assert read_status(settings, pipeline).state == "down"
    assert list_deployments(settings) == []
    start_endpoint()
    assert deploy_now(settings, pipeline, "1", model_dir).version == "1"


def test_a_program_that_is_no_endpoint_is_not_mistaken_for_one(
    settings: Settings, pipeline: Pipeline, model_dir: Path
) -> None:
    import http.server

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args: object) -> None: ...

    stranger = http.server.ThreadingHTTPServer(("127.0.0.1", settings.endpoint_port), Stranger)
    threading.Thread(target=stranger.serve_forever, daemon=True).start()
    try:
        with pytest.raises(EndpointUnavailable, match="not a Tollgate endpoint"):
            deploy_now(settings, hurry(pipeline, 0.3), "1", model_dir)
    finally:
        stranger.shutdown()
        stranger.server_close()


def test_status_says_when_pointer_and_endpoint_disagree_or_the_pointer_is_damaged(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    folder = settings.serving_root / "parcels"
    pointer = read_pointer(folder)
    assert pointer is not None
    server.stop()
    status = read_status(settings, pipeline)
    assert (status.state, status.served_version, status.agree) == ("down", None, False)
    assert status.problem is not None
    locate_pointer(folder).write_text("{")
    assert "not readable" in str(read_status(settings, pipeline).problem)
    # A damaged pointer is mended by the next deployment.
    start_endpoint()
    assert deploy_now(settings, pipeline, "1", model_dir).version == "1"
    assert read_status(settings, pipeline).agree


def test_the_endpoint_is_found_at_the_declared_offset(settings: Settings, pipeline: Pipeline) -> None:
    from include.declaration import LocalTarget

    moved = pipeline.model_copy(update={"deployment": Deployment(target=LocalTarget(port_offset=7))})
    at = dataclasses.replace(settings, endpoint_host="endpoint", endpoint_port=8090)
    assert switch.locate_endpoint(at, moved).url == "http://endpoint:8097"
