"""Housekeeping closes, frees and removes what nobody needs, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from include.captured import list_captured, locate_captured
from include.contracts import RuleFinding, TrainingSet, Window
from include.data import claims as claims_module
from include.data.claims import claim_arrivals, look_for_unclaimed
from include.data.trainings import note_stop, read_claims
from include.data.window import choose_window
from include.declaration import Pipeline
from include.errors import TrackingConflict, TrackingUnavailable
from include.gates.docs import KEPT_RESULTS
from include.gates.reports import write_report
from include.records import write_record
from include.serving.capture.folder import allocate_segment
from include.serving.capture.segment import SegmentHead, frame_record
from include.settings import Settings
from include.steps.housekeeping import (
    UNUSED_SECONDS,
    close_abandoned_runs,
    lift_stale_claims,
    note_dead_trainings,
    prune_files,
)
from include.tracking.client import ensure_experiment, open_client
from include.tracking.models import download_predictions, log_predictions
from include.tracking.runs import open_run
from include.training.dataset import prepare_training_set
from tests.unit.data.steps import land_bytes, make_report
from tests.unit.steps.declared import age_files, publish_month, write_pipeline

OLD = UNUSED_SECONDS + 60


def read_status(settings: Settings, run_id: str) -> str:
    with open_client(settings) as client:
        return str(client.get_run(run_id).info.status)


def make_set(settings: Settings, pipeline: Pipeline, run: str = "dag/run-1") -> TrainingSet:
    chosen = choose_window(settings, pipeline, "2013-02", run)
    assert isinstance(chosen, Window)
    return prepare_training_set(settings, pipeline, chosen)


def test_abandoned_runs_of_every_pipeline_are_closed_and_named(tracked: Settings) -> None:
    runs = {}
    for offset, name in enumerate(("kept_one", "kept_two")):
        write_pipeline(tracked, name, offset)
        runs[name] = open_run(tracked, name, f"{name}.train_model/run-1", "run", {})
    assert close_abandoned_runs(tracked, lambda _: True) == "There was nothing to do."
    told = close_abandoned_runs(tracked, lambda key: key.startswith("kept_one."))
    assert told == f"kept_two: closed 1 abandoned MLflow runs ({runs['kept_two']})."
    assert [read_status(tracked, run) for run in runs.values()] == ["RUNNING", "KILLED"]


def test_a_pipeline_that_cannot_be_swept_for_good_stops_no_other_one(tracked: Settings) -> None:
    for offset, name in enumerate(("lost_experiment", "sound")):
        write_pipeline(tracked, name, offset)
    run = open_run(tracked, "sound", "sound.train_model/run-1", "run", {})
    with open_client(tracked) as client:
        client.delete_experiment(ensure_experiment(client, "lost_experiment"))
    with pytest.raises(TrackingConflict, match="lost_experiment"):
        close_abandoned_runs(tracked, lambda _: False)
    assert read_status(tracked, run) == "KILLED"


def test_without_mlflow_the_sweep_says_so(settings: Settings) -> None:
    write_pipeline(settings, "parcels")
    with pytest.raises(TrackingUnavailable):
        close_abandoned_runs(settings, lambda _: False)


def test_lifted_claims_and_those_left_to_a_person_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = write_pipeline(settings, "parcels")
    land_bytes(settings, pipeline, "2013-01.csv")
    claim_arrivals(settings, pipeline, "dag/run-1")
    monkeypatch.setattr(claims_module, "LIFT_AFTER", (claims_module.LIFT_AFTER[0] * 0,))
    assert lift_stale_claims(settings, lambda _: True) == "There was nothing to do."
    assert look_for_unclaimed(settings, pipeline).arrivals == []
    told = lift_stale_claims(settings, lambda key: key != "dag/run-1")
    assert told == "parcels: 2013-01.csv can be taken by another run."
    assert len(claim_arrivals(settings, pipeline, "dag/run-2")) == 1
    told = lift_stale_claims(settings, lambda _: False)
    assert told == "parcels: 2013-01.csv failed too often to be tried again by itself: trigger data_refresh."


def test_a_training_whose_run_is_over_without_a_word_is_noted_as_stopped(settings: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(settings, "parcels")
    publish_month(settings, pipeline, "2013-01", tmp_path)
    window = choose_window(settings, pipeline, "2013-01", "parcels.train_model/run-1")
    assert note_dead_trainings(settings, lambda _: True) == "There was nothing to do."
    told = note_dead_trainings(settings, lambda _: False)
    assert told == "parcels: parcels.train_model/run-1 ended without a verdict."
    assert note_dead_trainings(settings, lambda _: False) == "There was nothing to do."
    (claim,) = read_claims(settings, "parcels").values()
    assert "could not say why" in claim["stop"]["reason"]
    assert choose_window(settings, pipeline, "2013-01", "parcels.train_model/run-2") == window
    write_record(settings, "parcels", "blessing", "mlflow", {"run_id": "run-2"})
    assert note_dead_trainings(settings, lambda _: False) == "There was nothing to do.", "it has its verdict"


def test_what_a_training_wrote_just_before_it_ended_stays(settings: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(settings, "parcels")
    publish_month(settings, pipeline, "2013-01", tmp_path)
    choose_window(settings, pipeline, "2013-01", "parcels.train_model/run-1")

    def end_now(run: str) -> bool:
        note_stop(settings, "parcels", run, "Features 2013-01 were blocked.")
        return False

    assert note_dead_trainings(settings, end_now) == "There was nothing to do."
    (claim,) = read_claims(settings, "parcels").values()
    assert claim["stop"]["reason"] == "Features 2013-01 were blocked."


def test_a_training_set_goes_when_it_was_unused_for_a_week_and_its_run_is_over(
    settings: Settings, tmp_path: Path
) -> None:
    pipeline = write_pipeline(settings, "parcels")
    for month in ("2013-01", "2013-02"):
        publish_month(settings, pipeline, month, tmp_path)
    folder = Path(make_set(settings, pipeline).folder)
    assert prune_files(settings, lambda _: False) == "There was nothing to do.", "it was just made"
    age_files(settings.work_root, OLD)
    prune_files(settings, lambda key: key == "dag/run-1")
    assert folder.is_dir(), "its run waits"
    make_set(settings, pipeline)
    prune_files(settings, lambda _: False)
    assert folder.is_dir(), "it was used again"
    age_files(settings.work_root, OLD)
    assert "removed" in prune_files(settings, lambda key: key == "dag/run-2")
    assert not folder.exists()
    assert make_set(settings, pipeline).folder == str(folder), "the claim's run gets it made again"


def test_downloads_splits_and_drafts_go_and_everything_else_stays(settings: Settings, tmp_path: Path) -> None:
    pipeline = write_pipeline(settings, "parcels")
    for month in ("2013-01", "2013-02"):
        publish_month(settings, pipeline, month, tmp_path)
    make_set(settings, pipeline)
    kept = {path for path in settings.home.rglob("*") if "/work/parcels/sets" not in str(path)}
    work, data = settings.work_root / "parcels", settings.data_root / "parcels"
    for folder in (work / "models/7", work / "predictions/7", work / "gates/tmp1", work / "sets/.ab.cd"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("old")
    (data / "work" / "2013-01@ab").mkdir(parents=True)
    (data / "work" / "2013-01@ab" / "kept.parquet").write_text("old")
    fresh = work / "models" / "8" / "deep"
    fresh.mkdir(parents=True)
    age_files(settings.home, OLD)
    (fresh / "file").write_text("just now")
    assert prune_files(settings, lambda _: False) == "parcels: removed 6 unused work files and folders, 0 gate reports."
    assert {path for path in kept if not path.exists()} == set()
    assert (fresh / "file").is_file()
    assert [path.name for path in (work / "models").iterdir()] == ["8"]


def test_what_a_stopped_endpoint_captured_is_converted(settings: Settings) -> None:
    pipeline = write_pipeline(settings, "parcels")
    folder = locate_captured(settings, pipeline.name)
    segment = allocate_segment(folder, 65536, 1 << 20)
    segment.begin(SegmentHead("7", "compiled", (("hour", "number"),)))
    segment.append(frame_record(msgspec.msgpack.encode((1.0, b"r", [(9.0,), (10.0,)], [0.25, 0.5]))))
    assert prune_files(settings, lambda _: False) == "There was nothing to do.", "an endpoint writes to it"
    segment.close()
    assert prune_files(settings, lambda _: False) == "parcels: wrote 2 captured rows as Parquet."
    assert len(list_captured(folder)) == 1


def test_a_folder_in_which_files_vanish_meanwhile_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(settings, "parcels")
    folder = settings.work_root / "parcels" / "gates" / "tmp1"
    folder.mkdir(parents=True)
    age_files(folder, OLD)
    monkeypatch.setattr(Path, "rglob", lambda self, _: [self / "listed and then removed"])
    assert prune_files(settings, lambda _: False) == "There was nothing to do."
    assert folder.is_dir()


def test_predictions_that_are_fetched_again_stay(tracked: Settings, tmp_path: Path) -> None:
    write_pipeline(tracked, "fetched")
    run = open_run(tracked, "fetched", "dag/run-1/trees", "trees", {})
    (tmp_path / "predictions.parquet").write_bytes(b"rows")
    log_predictions(tracked, run, tmp_path / "predictions.parquet")
    target = tracked.work_root / "fetched" / "predictions" / "1"
    path = download_predictions(tracked, run, target)
    age_files(tracked.work_root, OLD)
    download_predictions(tracked, run, target)
    prune_files(tracked, lambda _: False)
    assert path.is_file()


def test_the_last_gate_reports_stay_and_so_do_young_ones(settings: Settings) -> None:
    write_pipeline(settings, "parcels")
    finding = RuleFinding("rows", "failed", "critical")
    drafts = [replace(make_report(f"2013-{n:02d}"), findings=(finding,)) for n in range(KEPT_RESULTS + 3)]
    reports = [Path(write_report(settings, draft).report_path) for draft in drafts]
    assert prune_files(settings, lambda _: False) == "There was nothing to do."
    for path, seconds in zip(reports, (OLD, OLD, 60), strict=False):
        age_files(path, seconds)
    assert "2 gate reports" in prune_files(settings, lambda _: False)
    assert [path for path in reports if path.exists()] == reports[2:]
    assert [path for path in reports if path.with_suffix(".html").exists()] == reports[2:], (
        "a page goes with its report"
    )
    for path in reports:
        if path.exists():
            age_files(path, OLD)
    assert "1 gate reports" in prune_files(settings, lambda _: False), "the last ones stay however old they are"


def test_a_report_that_a_record_names_stays_as_long_as_the_record(settings: Settings) -> None:
    """A refusal's, also after the content was judged anew, and the one behind a blessing."""
    write_pipeline(settings, "parcels")
    reports = [write_report(settings, make_report(f"2013-{n:02d}")).report_path for n in range(KEPT_RESULTS + 4)]
    for path in reports:
        age_files(Path(path), OLD)
    # The state folder was moved since: the record names the file where it was.
    verdict = {"report_path": "", "earlier": [{"report_path": f"/elsewhere/gates/refresh/{Path(reports[0]).name}"}]}
    write_record(settings, "parcels", "refresh", "2013-00@ab", verdict)
    write_record(settings, "parcels", "blessing", "run", {"report_path": reports[2]})
    assert "2 gate reports" in prune_files(settings, lambda _: False)
    assert [n for n, path in enumerate(reports[:4]) if Path(path).exists()] == [0, 2]
