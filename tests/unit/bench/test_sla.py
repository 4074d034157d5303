"""The bench of the watcher finds the mail of each run by the file that the mail server wrote."""

from __future__ import annotations

import os
from pathlib import Path

from bench.__main__ import BENCHES
from bench.sla import CPU, DELAY, FALSE, PIPELINE, _write_pipeline, find_arrivals
from include.declaration.loader import load_pipelines
from include.settings import load_settings


def test_each_run_has_the_time_of_its_first_mail(tmp_path: Path) -> None:
    for number, (text, at) in enumerate([("about apart-01", 10), ("about apart-02", 20), ("else", 30)]):
        path = tmp_path / f"{number}.eml"
        path.write_text(text)
        os.utime(path, (at, at))
    assert find_arrivals(tmp_path, ["apart-01", "apart-02", "apart-03"]) == {"apart-01": 10.0, "apart-02": 20.0}


def test_its_figures_are_measured_by_one_module() -> None:
    assert {BENCHES[figure] for figure in (DELAY, FALSE, CPU)} == {"bench.sla"}


def test_its_pipeline_is_a_declaration(tmp_path: Path) -> None:
    _write_pipeline(tmp_path / "pipelines")
    loaded = load_pipelines(load_settings({"TOLLGATE_PIPELINES": str(tmp_path / "pipelines")}))
    assert loaded.errors == {}
    assert loaded.pipelines[PIPELINE].sla.train_model == "20s"
