"""The models on the serving machine: whole or not there, and never fewer than can be served again."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.declaration import Pipeline
from include.deployment.local.deploy import rollback_to_previous
from include.deployment.local.store import keep_model
from include.scoring.scorer import Scorer
from include.settings import Settings
from tests.unit.deployment.steps import StartEndpoint, deploy_now
from tests.unit.served_models import save_model


def test_old_models_go_but_never_one_that_can_still_be_served(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, scorer: Scorer, tmp_path: Path
) -> None:
    start_endpoint()
    for number in range(1, 8):
        folder = save_model(pipeline, scorer, tmp_path / "download" / str(number), partition=f"2013-0{number}")
        deploy_now(settings, pipeline, str(number), folder)
    kept = sorted(path.name.split("-")[0] for path in (settings.serving_root / "parcels" / "models").iterdir())
    assert kept == ["3", "4", "5", "6", "7"]
    for expected in ("6", "5", "4", "3"):
        assert rollback_to_previous(settings, pipeline, "me", "back").version == expected


def test_a_copy_is_complete_or_not_there_and_a_changed_model_is_another_folder(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "endpoint"
    first = keep_model(folder, "1", model_dir)
    assert keep_model(folder, "1", model_dir) == first
    (model_dir / "note.txt").write_text("changed")
    monkeypatch.setattr("include.deployment.local.store.sync_path", _fail)
    with pytest.raises(OSError, match="power"):
        keep_model(folder, "1", model_dir)
    monkeypatch.undo()
    assert len([path for path in (folder / "models").iterdir() if not path.name.startswith(".")]) == 1
    assert keep_model(folder, "1", model_dir) != first
    assert len(list((folder / "models").iterdir())) == 2


def _fail(_path: Path) -> None:
    raise OSError("power gone")
