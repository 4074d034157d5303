"""Which path serves a model: compiled with native code, compiled without, or scikit-learn; and what each costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline as chain
from sklearn.preprocessing import OrdinalEncoder

from include.declaration import Pipeline
from include.scoring.compiled.document import FILE_NAME
from include.scoring.scorer import Scorer
from include.serving.model import ServedModel, load_model
from include.settings import PROJECT_ROOT
from tests.unit.served_models import fit_scorer, make_requests, save_compiled, save_model, serve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TOLLGATE_C_COMPILER", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def trees() -> Scorer:
    from tests.unit.factory import make_pipeline, make_rows

    pipeline = make_pipeline()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", encoder, ["carrier"])], remainder="passthrough")
    scorer = fit_scorer(pipeline)
    scorer.estimator = chain(columns, HistGradientBoostingClassifier(max_iter=10))
    return scorer.fit(make_requests(pipeline), (make_rows(rows=200)["delay"] > 15).astype("float64"))


def answer(model: ServedModel, pipeline: Pipeline, scorer: Scorer, rows: int) -> None:
    """The model gives the scorer's own scores, in every JSON shape."""
    requests = make_requests(pipeline, rows, seed=5)
    body = requests.to_json(orient="split", index=False, double_precision=15)
    records = requests.to_json(orient="records", double_precision=15)
    for content in (b'{"dataframe_split": %s}' % body.encode(), b'{"instances": %s}' % records.encode()):
        answers = model.answer("application/json", content)
        np.testing.assert_allclose(answers, scorer.predict(requests), rtol=0, atol=1e-12)


def test_trees_are_served_by_code_compiled_on_this_machine(
    pipeline: Pipeline, trees: Scorer, tmp_path: Path, home: Path
) -> None:
    model = load_model(save_compiled(pipeline, trees, tmp_path / "3"))
    assert (model.scoring_path, model.scoring_note) == ("compiled-native", "")
    assert model.inline_bytes > 0
    assert [path.suffix for path in (home / "native").iterdir()] == [".so"]
    for rows in (1, 16, 17, 300):
        answer(model, pipeline, trees, rows)


def test_without_a_compiler_numpy_serves_them_and_says_why(
    pipeline: Pipeline, trees: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLGATE_C_COMPILER", "none")
    model = load_model(save_compiled(pipeline, trees, tmp_path / "3"))
    assert model.scoring_path == "compiled"
    assert "no C compiler" in model.scoring_note
    for rows in (1, 300):
        answer(model, pipeline, trees, rows)


def test_a_model_without_trees_needs_no_compiler(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path, home: Path
) -> None:
    model = load_model(save_compiled(pipeline, scorer, tmp_path / "3"))
    assert (model.scoring_path, model.scoring_note) == ("compiled", "")
    assert not (home / "native").exists()
    for rows in (1, 300):
        answer(model, pipeline, scorer, rows)


SPOILT: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, "cannot be read"),
    "empty": (b"", "not such a file"),
    "a pickle": (b"\x80\x04\x95\x0b\x00\x00\x00", "not such a file"),
    "nested": (b"[" * 200_000, "not such a file"),
    "another format": (
        b'{"format":9,"features":[],"tables":{},"columns":[],"model":{"type":"constant","probability":1}}',
        "format",
    ),
}


@pytest.mark.parametrize("content, reason", SPOILT.values(), ids=SPOILT.keys())
def test_a_form_that_cannot_be_used_leaves_the_model_to_scikit_learn(
    pipeline: Pipeline,
    scorer: Scorer,
    tmp_path: Path,
    content: bytes | None,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = save_compiled(pipeline, scorer, tmp_path / "3")
    (folder / FILE_NAME).unlink()
    if content is not None:
        (folder / FILE_NAME).write_bytes(content)
    model = load_model(folder)
    assert (model.scoring_path, model.inline_bytes) == ("pipeline", 0)
    assert reason in model.scoring_note
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["scoring_path"] == "pipeline"
    answer(model, pipeline, scorer, 5)


def test_a_form_that_answers_no_probability_is_not_served(pipeline: Pipeline, scorer: Scorer, tmp_path: Path) -> None:
    folder = save_compiled(pipeline, scorer, tmp_path / "3")
    tree = [[-1], [7.5], [0], [False]]
    model = {"type": "trees", "trees": [tree], "start": 0, "divisor": 1, "logistic": False}
    document = json.loads((folder / FILE_NAME).read_bytes())
    document["model"] = {**model, "single_precision": False, "takes_missing": True}
    (folder / FILE_NAME).write_text(json.dumps(document))
    served = load_model(folder)
    assert served.scoring_path == "pipeline"
    assert "outside 0 to 1" in served.scoring_note


def test_a_model_that_training_left_without_a_form_says_training_s_reason(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path
) -> None:
    model = load_model(save_compiled(pipeline, scorer, tmp_path / "3", compiled=False, reason="its step X is odd"))
    assert (model.scoring_path, model.scoring_note) == ("pipeline", "its step X is odd")
    older = load_model(save_model(pipeline, scorer, tmp_path / "4"))
    assert (older.scoring_path, older.scoring_note) == ("pipeline", "it was packaged without a compiled form")


MEASURE = """
import sys, time
from pathlib import Path
from include.serving.__main__ import main
from include.serving.model import load_model
model = load_model(Path(sys.argv[1]))
assert model.scoring_path == "compiled-native", model.scoring_note
model.answer("application/json", Path(sys.argv[2]).read_bytes())
seconds = time.process_time()
heavy = {name.partition(".")[0] for name in sys.modules}
heavy &= {"sklearn", "pandas", "scipy", "skops", "mlflow", "joblib", "matplotlib", "pyarrow"}
assert not heavy, heavy
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1024)
"""


def test_a_compiled_model_is_served_without_scikit_learn_and_pandas(
    pipeline: Pipeline, trees: Scorer, tmp_path: Path
) -> None:
    folder = save_compiled(pipeline, trees, tmp_path / "3")
    body = tmp_path / "body.json"
    body.write_bytes(b'{"instances": %s}' % make_requests(pipeline, 100).to_json(orient="records").encode())
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(body)], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cpu_seconds, megabytes = map(float, done.stdout.split()[-2:])
    assert cpu_seconds <= 2
    assert megabytes <= 150


def test_every_answer_and_version_name_the_path(pipeline: Pipeline, trees: Scorer, tmp_path: Path, home: Path) -> None:
    folder = save_compiled(pipeline, trees, tmp_path / "3")
    with serve(tmp_path / "run", "--model-dir", str(folder), "--pipeline", pipeline.name, home=home) as server:
        assert server.wait_ready("3")["scoring_path"] == "compiled-native"
        body = b'{"instances": %s}' % make_requests(pipeline, 3).to_json(orient="records").encode()
        status, content = server.ask("POST", "/invocations", body)
        assert (status, len(content["predictions"])) == (200, 3)
