"""Training sets: what is trained on, what is held out, and that the same window gives the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.contracts import TrainingSet, Window
from include.declaration import Label, Pipeline, Reference, Request, RequestColumn, Training
from include.errors import DeclarationError, LeakageFound, TrainingDataInvalid
from include.scoring.expressions import Column, Feature, Lookup
from include.scoring.row_features import RowFeatures
from include.settings import Settings
from include.training.dataset import dump_features, prepare_training_set
from include.training.split import name_days, split_rows
from tests.unit.factory import make_pipeline, make_rows
from tests.unit.training.windows import make_window

MONTHS = ("2013-01", "2013-02", "2013-03")


def _window(settings: Settings, pipeline: Pipeline, months: tuple[str, ...] = MONTHS, **frames: Any) -> Window:
    made = {month: frames.get(month, make_rows(month)) for month in months}
    return make_window(settings.data_root, pipeline.name, made)


def _read(made: TrainingSet, name: str) -> pd.DataFrame:
    return pq.read_table(Path(made.folder) / name).to_pandas()


def test_the_newest_partition_is_held_out_and_the_earlier_ones_train(settings: Settings, pipeline: Pipeline) -> None:
    made = prepare_training_set(settings, pipeline, _window(settings, pipeline))
    train, holdout = _read(made, "train.parquet"), _read(made, "holdout.parquet")
    assert made.holdout == made.partition == "2013-03"
    assert (made.train_rows, made.holdout_rows) == (len(train), len(holdout)) == (800, 400)
    assert set(train["month"]) == {1.0, 2.0}
    assert set(holdout["month"]) == {3.0}
    assert made.holdout_base_rate == pytest.approx(holdout["label"].mean())


def test_files_hold_request_label_and_day_in_the_original_order(settings: Settings, pipeline: Pipeline) -> None:
    made = prepare_training_set(settings, pipeline, _window(settings, pipeline))
    holdout, rows = _read(made, "holdout.parquet"), make_rows("2013-03")
    assert list(holdout.columns) == [*pipeline.request.columns, "label", "event_day"]
    assert holdout["distance"].tolist() == rows["distance"].tolist()
    assert holdout["label"].tolist() == (rows["delay"] > 15).astype(float).tolist()
    assert holdout["event_day"].tolist() == [f"2013-03-{day:02d}" for day in rows["day"]]
    schema = pq.read_schema(Path(made.folder) / "holdout.parquet")
    assert {str(schema.field(name).type) for name in ("day", "weight", "label")} == {"double"}
    assert {str(schema.field(name).type) for name in ("carrier", "event_day")} == {"string"}


def test_features_and_tables_are_what_a_model_will_compute(settings: Settings, pipeline: Pipeline) -> None:
    made = prepare_training_set(settings, pipeline, _window(settings, pipeline))
    tables = (Path(made.folder) / "tables.json").read_text()
    assert json.loads(tables) == {
        "carriers": {"key": "carrier", "keys": ["AA", "BB", "CC"], "columns": {"fleet_age": [2.0, 7.0, 12.0]}}
    }
    requests = pd.concat([_read(made, "train.parquet"), _read(made, "holdout.parquet")], ignore_index=True)
    expected = RowFeatures(dump_features(pipeline), tables).transform(requests)
    pd.testing.assert_frame_equal(_read(made, "features.parquet"), expected, check_dtype=False)


def test_one_partition_is_split_by_its_days(settings: Settings, pipeline: Pipeline) -> None:
    made = prepare_training_set(settings, pipeline, _window(settings, pipeline, ("2013-01",)))
    train, holdout = _read(made, "train.parquet"), _read(made, "holdout.parquet")
    assert made.holdout == "last third of 2013-01 by day"
    assert train["event_day"].max() < holdout["event_day"].min()
    assert holdout["event_day"].nunique() == 31 // 3


def test_a_single_day_leaves_nothing_to_train_on(settings: Settings, pipeline: Pipeline) -> None:
    rows = make_rows("2013-01").assign(day=1)
    with pytest.raises(TrainingDataInvalid, match="training rows are 0"):
        prepare_training_set(settings, pipeline, _window(settings, pipeline, ("2013-01",), **{"2013-01": rows}))


def test_split_of_one_partition_keeps_at_least_one_day_out() -> None:
    day = np.array(["2013-01-01", "2013-01-02", "2013-01-02"], dtype=object)
    assert split_rows(["2013-01"], np.zeros(3, dtype=np.int64), day).held_out.tolist() == [False, True, True]


def test_the_same_window_gives_the_same_digest_and_the_same_bytes(settings: Settings, pipeline: Pipeline) -> None:
    window = _window(settings, pipeline)
    made = prepare_training_set(settings, pipeline, window)
    before = {path.name: path.read_bytes() for path in Path(made.folder).iterdir() if path.name != "set.json"}
    shutil.rmtree(made.folder)
    again = prepare_training_set(settings, pipeline, window)
    assert again.digest == made.digest
    assert {p.name: p.read_bytes() for p in Path(again.folder).iterdir() if p.name != "set.json"} == before
    assert len(made.digest) <= 36  # the longest digest that MLflow takes


def test_a_prepared_set_is_found_again_and_not_made_twice(settings: Settings, pipeline: Pipeline) -> None:
    window = _window(settings, pipeline)
    made = prepare_training_set(settings, pipeline, window)
    for ref in window.partitions:
        Path(ref.path).unlink()
    assert prepare_training_set(settings, pipeline, window) == made


def test_a_set_that_lost_a_file_is_made_again(settings: Settings, pipeline: Pipeline) -> None:
    window = _window(settings, pipeline)
    made = prepare_training_set(settings, pipeline, window)
    (Path(made.folder) / "holdout.parquet").unlink()
    again = prepare_training_set(settings, pipeline, window)
    assert again.digest == made.digest
    assert len(_read(again, "holdout.parquet")) == 400


def test_a_failure_while_writing_leaves_no_set_behind(settings: Settings, pipeline: Pipeline, monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    window = _window(settings, pipeline)
    with monkeypatch.context() as patch:
        patch.setattr("include.training.storage.pq.write_table", fail)
        with pytest.raises(OSError, match="disk full"):
            prepare_training_set(settings, pipeline, window)
    assert list((settings.work_root / pipeline.name / "sets").iterdir()) == []
    assert prepare_training_set(settings, pipeline, window).train_rows == 800


def _digest(settings: Settings, pipeline: Pipeline, **frames: Any) -> str:
    return prepare_training_set(settings, pipeline, _window(settings, pipeline, **frames)).digest


def test_data_declaration_tables_and_code_each_change_the_digest(
    settings: Settings, pipeline: Pipeline, monkeypatch: Any, tmp_path: Path
) -> None:
    digests = [_digest(settings, pipeline)]
    corrected = make_rows("2013-02")
    corrected.loc[7, "distance"] += 1
    digests.append(_digest(settings, pipeline, **{"2013-02": corrected}))
    digests.append(_digest(settings, make_pipeline(features=(Feature("hour", Column("hour")),))))
    monkeypatch.setattr(
        "tests.unit.toy.features.load_carriers",
        lambda: pd.DataFrame({"carrier": ["AA", "BB", "CC"], "fleet_age": [2.0, 7.0, 12.5]}),
    )
    digests.append(_digest(settings, pipeline))
    shutil.copytree(pipeline.folder, tmp_path / "toy")
    (tmp_path / "toy" / "features.py").open("a").write("\nANOTHER = 1\n")
    digests.append(_digest(settings, make_pipeline(folder=str(tmp_path / "toy"))))
    assert len(set(digests)) == 5


def test_a_row_without_a_label_is_left_out_but_counted(settings: Settings, pipeline: Pipeline) -> None:
    rows = make_rows("2013-03")
    rows.loc[:9, "delay"] = np.nan
    made = prepare_training_set(settings, pipeline, _window(settings, pipeline, **{"2013-03": rows}))
    assert (made.holdout_rows, made.missing_labels) == (390, 10)
    assert _read(made, "holdout.parquet")["distance"].tolist() == rows["distance"].tolist()[10:]


def test_each_partition_must_meet_the_label_bounds(settings: Settings, pipeline: Pipeline) -> None:
    """A month that lost its labels is refused, however many good months surround it."""
    rows = make_rows("2013-02")
    rows.loc[:60, "delay"] = np.nan
    with pytest.raises(TrainingDataInvalid, match=r"2013-02.*missing labels"):
        prepare_training_set(settings, pipeline, _window(settings, pipeline, **{"2013-02": rows}))


def test_too_few_rows_and_a_single_class_are_refused(settings: Settings) -> None:
    loose = make_pipeline(
        label=Label(function="features:mark_late", definition="late", max_missing_share=0.1, base_rate=(0, 1))
    )
    with pytest.raises(TrainingDataInvalid, match=r"holdout \(2013-03\) are 20"):
        _digest(settings, loose, **{"2013-03": make_rows("2013-03", rows=20)})
    with pytest.raises(TrainingDataInvalid, match="only one class, 0"):
        _digest(settings, loose, **{"2013-03": make_rows("2013-03").assign(delay=0.0)})


def test_a_leaking_assembly_stops_the_training(settings: Settings, pipeline: Pipeline, monkeypatch: Any) -> None:
    from tests.unit.toy import features

    honest = features.assemble_requests
    monkeypatch.setattr(
        features, "assemble_requests", lambda rows, refs: honest(rows, refs).assign(weight=rows["delay"])
    )
    with pytest.raises(LeakageFound, match="weight"):
        _digest(settings, pipeline)


@pytest.mark.parametrize(
    ("change", "measure"),
    [
        (lambda frame: frame.drop(columns=["weight"]), "columns"),
        (lambda frame: frame.assign(extra=1.0), "columns"),
        (lambda frame: frame.iloc[:-1], "alignment"),
        (lambda frame: frame.sort_values("distance"), "alignment"),
        (lambda frame: frame.assign(weight="heavy"), "types"),
        (lambda frame: frame.assign(distance=np.inf), "types"),
        (lambda frame: frame.assign(carrier=frame["carrier"].mask(frame["distance"] > 1990)), "required columns"),
    ],
)
def test_an_assembly_must_give_exactly_the_declared_request(
    change: Any, measure: str, settings: Settings, pipeline: Pipeline, monkeypatch: Any
) -> None:
    from tests.unit.toy import features

    honest = features.assemble_requests
    monkeypatch.setattr(features, "assemble_requests", lambda rows, refs: change(honest(rows, refs)))
    with pytest.raises(TrainingDataInvalid) as caught:
        _digest(settings, pipeline)
    assert caught.value.measure == measure


def test_a_request_column_may_not_take_a_reserved_name(settings: Settings, pipeline: Pipeline) -> None:
    columns = {**pipeline.request.columns, "event_day": RequestColumn(type="string")}
    reserved = make_pipeline(request=Request(columns=columns, assemble=pipeline.request.assemble))
    with pytest.raises(DeclarationError, match="event_day"):
        _digest(settings, reserved)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pd.DataFrame({"carrier": ["AA", "AA"], "fleet_age": [1.0, 2.0]}), "not unique"),
        (pd.DataFrame({"carrier": ["AA", None], "fleet_age": [1.0, 2.0]}), "not text"),
        (pd.DataFrame({"code": ["AA"], "fleet_age": [1.0]}), "no column carrier"),
        (pd.DataFrame({"carrier": ["AA"], "age": [1.0]}), "fleet_age"),
    ],
)
def test_an_unusable_reference_table_is_refused(
    table: pd.DataFrame, problem: str, settings: Settings, pipeline: Pipeline, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tests.unit.toy.features.load_carriers", lambda: table)
    with pytest.raises(TrainingDataInvalid, match=problem):
        _digest(settings, pipeline)


def test_a_lookup_in_a_table_without_a_key_is_refused(settings: Settings) -> None:
    keyless = make_pipeline(
        references={"carriers": Reference(load="features:load_carriers")},
        features=(Feature("age", Lookup("carriers", Column("carrier"), "fleet_age")),),
    )
    with pytest.raises(TrainingDataInvalid, match="not declared with a key"):
        _digest(settings, keyless)


def test_days_come_from_three_columns_or_from_one_timestamp() -> None:
    training = make_pipeline().training
    one = make_pipeline(
        training=Training(**{**training.model_dump(), "candidates": training.candidates, "day_columns": ("at",)})
    )
    rows = pd.DataFrame({"year": [2013], "month": [3], "day": [9], "at": pd.to_datetime(["2013-03-09T23:30:00-05:00"])})
    assert name_days(make_pipeline(), rows).tolist() == ["2013-03-09"]
    assert name_days(one, rows).tolist() == ["2013-03-10"]
    with pytest.raises(TrainingDataInvalid, match="1 rows have no day"):
        name_days(make_pipeline(), rows.assign(day=31, month=2))
