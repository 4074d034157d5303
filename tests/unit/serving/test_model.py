"""A model directory is loaded, tried, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skops.io
import yaml
from sklearn.linear_model import LinearRegression

from include.declaration import Pipeline
from include.errors import ModelUnusable, UnsafeModel
from include.scoring.scorer import Scorer
from include.serving.model import load_model
from tests.unit.served_models import make_requests, save_model


def test_a_loaded_model_gives_the_scorers_own_scores(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> None:
    requests = make_requests(pipeline, 40, seed=5)
    model = load_model(save_model(pipeline, scorer, tmp_path / "3"))
    body = requests.to_json(orient="split", index=False, double_precision=15)
    answers = model.answer("application/json", b'{"dataframe_split": %s}' % body.encode())
    assert model.version == "3"
    np.testing.assert_allclose(answers, scorer.predict(requests), rtol=0, atol=1e-12)


def test_the_example_that_mlflow_stored_is_asked_even_with_its_nan(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path
) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m")
    row = make_requests(pipeline, 1).iloc[0].to_dict()
    example = {"dataframe_split": {"columns": list(row), "data": [list({**row, "weight": float("nan")}.values())]}}
    (folder / "serving_input_example.json").write_text(json.dumps(example).replace("null", "NaN"))
    load_model(folder)
    example["dataframe_split"]["columns"][0] = "arr_time"
    (folder / "serving_input_example.json").write_text(json.dumps(example))
    with pytest.raises(ModelUnusable, match="arr_time"):
        load_model(folder)


def test_a_model_of_foreign_types_is_refused(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m")
    skops.io.dump(LinearRegression(), folder / "model.skops")
    with pytest.raises(UnsafeModel):
        load_model(folder)


@pytest.mark.parametrize(
    "mlmodel", ["", ": [", "{}", "metadata: 5", "metadata: {tollgate: {request: {a: {type: date, required: true}}}}"]
)
def test_a_directory_without_usable_metadata_is_refused(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path, mlmodel: str
) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m")
    (folder / "MLmodel").write_text(mlmodel)
    with pytest.raises(ModelUnusable, match="metadata"):
        load_model(folder)


def test_yaml_that_builds_objects_is_not_followed(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m")
    trap = tmp_path / "trap"
    (folder / "MLmodel").write_text(f"metadata: !!python/object/apply:pathlib.Path.touch [{trap}]")
    with pytest.raises(ModelUnusable):
        load_model(folder)
    assert not trap.exists()


@pytest.mark.parametrize(
    "task, answer", [("binary", 1.5), ("binary", float("nan")), ("other", float("inf")), ("binary", None)]
)
def test_a_model_that_answers_nonsense_is_not_served(
    pipeline: Pipeline,
    scorer: Scorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    answer: float | None,
) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m", task=task)

    def predict(_self: Scorer, requests: object) -> np.ndarray:
        if answer is None:
            raise RuntimeError("broken inside")
        return np.full(len(requests), answer)  # type: ignore[arg-type]

    monkeypatch.setattr(Scorer, "predict", predict)
    with pytest.raises(ModelUnusable):
        load_model(folder)


def test_a_request_without_required_columns_still_gets_a_made_up_row(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path
) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m")
    document = yaml.safe_load((folder / "MLmodel").read_text())
    for column in document["metadata"]["tollgate"]["request"].values():
        column["required"] = False
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    assert 0 <= load_model(folder).answer("application/json", b'{"instances": [{}]}')[0] <= 1
