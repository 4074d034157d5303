"""Stored rows as requests: nothing is lost on the way, and a difference is found."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from include.contracts import PREDICTION_COLUMN
from include.declaration import Pipeline
from include.deployment.local import replay
from include.deployment.local.client import Endpoint, Reply
from include.deployment.local.replay import build_csv, build_records, build_split, read_stored_rows, replay_rows
from include.errors import AnswersDiffer, EndpointUnavailable
from include.serving.decode import decode_body
from include.serving.schema import read_schema

ENDPOINT = Endpoint("127.0.0.1", 9)


def test_rows_are_spread_evenly_and_only_request_columns_are_asked(pipeline: Pipeline, predictions: str) -> None:
    stored = read_stored_rows(pipeline, predictions, 10)
    whole = pd.read_parquet(predictions)
    assert list(stored.requests.columns) == list(pipeline.request.columns)
    assert list(stored.requests.index) == list(range(0, 120, 12))
    assert stored.scores == whole[PREDICTION_COLUMN].iloc[::12].tolist()
    assert len(read_stored_rows(pipeline, predictions, 10_000).scores) == 120


def test_every_form_of_a_request_decodes_to_the_same_values(pipeline: Pipeline, predictions: str) -> None:
    schema = read_schema({n: {"type": c.type, "required": c.required} for n, c in pipeline.request.columns.items()})
    requests = read_stored_rows(pipeline, predictions, 50).requests
    forms = [
        decode_body(schema, "application/json", build_records(requests)),
        decode_body(schema, "application/json", build_split(requests)),
        decode_body(schema, "text/csv", build_csv(requests)),
    ]
    for form in forms:
        frame = pd.DataFrame(form.columns)
        for name in requests:
            pd.testing.assert_series_equal(
                frame[name], requests[name].reset_index(drop=True), check_dtype=False, check_exact=True
            )


@pytest.mark.parametrize(
    "reply, message",
    [
        (Reply(200, {"predictions": [0.5 + 2e-9] * 2, "model_version": "3"}), "differs"),
        (Reply(200, {"predictions": [0.5, float("nan")], "model_version": "3"}), "differs"),
        (Reply(200, {"predictions": [0.5], "model_version": "3"}), "one answer for each row"),
        (Reply(200, {"predictions": [0.5, 0.5], "model_version": "2"}), "version 2"),
        (Reply(400, {"message": "Column 'hour' is missing."}), "Column 'hour' is missing"),
        (Reply(500, []), "500"),
    ],
)
def test_an_answer_that_differs_in_any_way_is_found(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, predictions: str, reply: Reply, message: str
) -> None:
    stored = read_stored_rows(pipeline, predictions, 2)
    stored = replay.StoredRows(stored.requests, [0.5, 0.5])
    monkeypatch.setattr(replay, "ask", lambda *_args, **_kwargs: reply)
    with pytest.raises(AnswersDiffer, match=message):
        replay_rows(ENDPOINT, "3", stored, every_format=False, seconds=5)


def test_a_stored_score_that_is_not_a_number_never_passes(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, predictions: str
) -> None:
    stored = replay.StoredRows(read_stored_rows(pipeline, predictions, 1).requests, [float("nan")])
    reply = Reply(200, {"predictions": [0.5], "model_version": "3"})
    monkeypatch.setattr(replay, "ask", lambda *_args, **_kwargs: reply)
    with pytest.raises(AnswersDiffer):
        replay_rows(ENDPOINT, "3", stored, every_format=False, seconds=5)


def test_an_endpoint_without_a_model_is_not_taken_for_a_wrong_answer(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, predictions: str
) -> None:
    stored = read_stored_rows(pipeline, predictions, 2)
    monkeypatch.setattr(replay, "ask", lambda *_args, **_kwargs: Reply(503, {"status": "starting"}))
    with pytest.raises(EndpointUnavailable):
        replay_rows(ENDPOINT, "3", stored, every_format=False, seconds=5)


def test_empty_text_is_left_to_json_as_csv_cannot_tell_it_from_null(
    monkeypatch: pytest.MonkeyPatch, pipeline: Pipeline, predictions: str
) -> None:
    stored = read_stored_rows(pipeline, predictions, 3)
    stored.requests.iloc[1, stored.requests.columns.get_loc("depot")] = ""
    asked: list[int] = []

    def answer(_endpoint: Endpoint, _method: str, _path: str, *, content: bytes, content_type: str, seconds: float):
        del seconds
        if content_type == "text/csv":
            count = len(content.splitlines()) - 1
        else:
            body = json.loads(content)
            count = len(body.get("dataframe_records") or body["dataframe_split"]["data"])
        asked.append(count)
        return Reply(
            200, {"predictions": stored.scores[:count] if count != 2 else stored.scores[::2], "model_version": "3"}
        )

    monkeypatch.setattr(replay, "ask", answer)
    report = replay_rows(ENDPOINT, "3", stored, every_format=True, seconds=5)
    assert asked == [3, 3, 2, 1]
    assert (report.rows, report.requests, report.max_difference) == (3, 4, 0.0)


def test_an_empty_predictions_file_has_no_rows(pipeline: Pipeline, predictions: str, tmp_path: Path) -> None:
    pd.read_parquet(predictions).iloc[:0].to_parquet(tmp_path / "none.parquet")
    assert read_stored_rows(pipeline, str(tmp_path / "none.parquet"), 5).scores == []
