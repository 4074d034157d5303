"""The sandbox: the real serving program, tried and always stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from include.declaration import Deployment, Pipeline, Rollout
from include.deployment.local.sandbox import check_sandbox
from include.errors import SandboxFailed
from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT, Settings
from tests.unit.deployment.conftest import write_predictions
from tests.unit.served_models import wait_for

MISBEHAVIOUR = Path(__file__).parent / "misbehaviour"


def list_sandboxes(model_dir: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "include.serving" in command and str(model_dir) in command:
            found.append(process.pid)
    return found


def test_a_good_model_answers_real_rows_in_every_form_and_nothing_is_left_running(
    settings: Settings, pipeline: Pipeline, model_dir: Path, predictions: str
) -> None:
    report = check_sandbox(settings, pipeline, "4", model_dir, predictions)
    assert (report.version, report.rows, report.requests) == ("4", 30, 4)
    assert report.max_difference <= 1e-9
    assert 0 < report.start_seconds < report.seconds < 30
    assert list_sandboxes(model_dir) == []


def test_other_scores_than_the_holdouts_fail_it(
    settings: Settings, pipeline: Pipeline, scorer: Scorer, model_dir: Path, tmp_path: Path
) -> None:
    shifted = write_predictions(pipeline, scorer, tmp_path / "shifted.parquet", shift=1e-6)
    with pytest.raises(SandboxFailed, match="differs from its stored score by 1e-06") as caught:
        check_sandbox(settings, pipeline, "4", model_dir, shifted)
    assert caught.value.version == "4"
    assert list_sandboxes(model_dir) == []


def test_a_broken_model_fails_it_at_once_with_the_servers_last_lines(
    settings: Settings, pipeline: Pipeline, model_dir: Path, predictions: str
) -> None:
    (model_dir / "model.skops").write_bytes(b"nothing")
    started = time.monotonic()
    with pytest.raises(SandboxFailed, match="pointer_refused") as caught:
        check_sandbox(settings, pipeline, "4", model_dir, predictions)
    assert time.monotonic() - started < pipeline.deployment.sandbox_seconds / 2
    assert any("pointer_refused" in line for line in caught.value.log)
    assert list_sandboxes(model_dir) == []


def test_a_model_that_eats_memory_ends_alone_at_its_limit(
    settings: Settings, pipeline: Pipeline, model_dir: Path, predictions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a first answer: at the start it would not get ready.
    hungry_ways = {"MISBEHAVE": "eat:2", "MISBEHAVE_MB": "600", "MISBEHAVE_AT": "--port-file"}
    hungry_ways["PYTHONPATH"] = f"{MISBEHAVIOUR}{os.pathsep}{PROJECT_ROOT}"
    for name, value in hungry_ways.items():
        monkeypatch.setenv(name, value)
    deployment = pipeline.deployment.model_copy(update={"rollout": Rollout(candidate_memory_mb=800.0)})
    hungry = pipeline.model_copy(update={"deployment": deployment})
    with pytest.raises(SandboxFailed, match="stored rows got 500") as caught:
        check_sandbox(settings, hungry, "4", model_dir, predictions)
    assert any("MemoryError" in line for line in caught.value.log)
    assert list_sandboxes(model_dir) == []


def test_one_deadline_covers_the_whole_check(
    settings: Settings, pipeline: Pipeline, model_dir: Path, predictions: str
) -> None:
    hurried = pipeline.model_copy(update={"deployment": Deployment(sandbox_seconds=0.2)})
    started = time.monotonic()
    with pytest.raises(SandboxFailed, match="time was over"):
        check_sandbox(settings, hurried, "4", model_dir, predictions)
    assert time.monotonic() - started < 8
    assert list_sandboxes(model_dir) == []


def test_no_rows_to_ask_is_a_failure_not_a_pass(
    settings: Settings, pipeline: Pipeline, model_dir: Path, predictions: str, tmp_path: Path
) -> None:
    import pandas as pd

    pd.read_parquet(predictions).iloc[:0].to_parquet(tmp_path / "none.parquet")
    with pytest.raises(SandboxFailed, match="no stored row"):
        check_sandbox(settings, pipeline, "4", model_dir, str(tmp_path / "none.parquet"))


def test_a_killed_task_leaves_no_server_behind(model_dir: Path, predictions: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom include.deployment.local import sandbox\n"
        "from include.settings import load_settings\nfrom tests.unit.factory import make_pipeline\n"
        "def wait_in_the_middle(*_):\n    Path(sys.argv[3]).touch()\n    __import__('time').sleep(60)\n"
        "sandbox.check_refusal = wait_in_the_middle\n"
        "sandbox.check_sandbox(load_settings(), make_pipeline(), '4', Path(sys.argv[1]), sys.argv[2])\n"
    )
    reached = tmp_path / "reached"
    task = subprocess.Popen([sys.executable, "-c", code, str(model_dir), predictions, str(reached)], cwd=PROJECT_ROOT)
    try:
        wait_for(reached.exists)
        assert len(list_sandboxes(model_dir)) == 1
    finally:
        os.kill(task.pid, signal.SIGKILL)
        task.wait(10)
    wait_for(lambda: not list_sandboxes(model_dir), 10)
