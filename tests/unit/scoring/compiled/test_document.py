"""A stored scorer is untrusted: whatever is in the file, it is a scorer within its limits or it is refused."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import CompiledFormRefused, TerminalError
from include.scoring.compiled import document as stored
from include.scoring.compiled.convert import convert_scorer
from include.scoring.compiled.document import read_document, read_file, write_document
from include.scoring.compiled.scorer import CompiledScorer, RequestField
from tests.unit.scoring.compiled.models import build_chain, fit_estimator
from tests.unit.scoring.factory import NUMBERS, TEXTS

REQUEST = [RequestField(n, "number", True) for n in NUMBERS] + [RequestField(n, "string", True) for n in TEXTS]
ROW = (2013.0, 4.0, 30.0, 2.5, 719.0, 1745.0, "AA", "N1")


@pytest.fixture(scope="module")
def trees() -> dict[str, Any]:
    """The document of a small forest, decoded to plain JSON types."""
    return dict(json.loads(write_document(convert_scorer(fit_estimator(build_chain("one-hot", "filled", "tree"), 80)))))


@pytest.fixture(scope="module")
def linear() -> dict[str, Any]:
    scorer = fit_estimator(build_chain("one-hot", "filled and marked", "logistic regression"), 80)
    return dict(json.loads(write_document(convert_scorer(scorer))))


def load(content: Any) -> CompiledScorer:
    return CompiledScorer(
        read_document(content if isinstance(content, bytes) else json.dumps(content).encode()), REQUEST
    )


def change(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place: Any = changed
    for part in parents:
        place = place[part]
    place[last] = value
    return changed


def test_both_kinds_of_document_are_read_again_to_the_last_bit(trees: dict[str, Any], linear: dict[str, Any]) -> None:
    for document in (trees, linear):
        content = json.dumps(document).encode()
        assert json.loads(write_document(read_document(content))) == document
        assert 0 <= load(document).score([ROW])[0] <= 1


def find_category(document: dict[str, Any]) -> int:
    return next(place for place, column in enumerate(document["columns"]) if column["type"] == "category")


def find_number(document: dict[str, Any]) -> int:
    return next(place for place, column in enumerate(document["columns"]) if column["type"] == "number")


DEEP: dict[str, Any] = {"type": "column", "name": "distance"}
for _ in range(60):
    DEEP = {"type": "sine", "of": DEEP, "period": 2.0}
HOSTILE = {
    "another format": ("format", 2),
    "an unknown field": ("code", "__import__('os')"),
    "no features": ("features", []),
    "a feature of no kind": ("features.2.kind", "object"),
    "features nested too deeply": ("features.2.expression", DEEP),
    "no such operator": ("features.3.expression.operator", "**"),
    "no such period": ("features.7.expression.period", 0.0),
    "no such table": ("features.1.expression.table", "passwd"),
    "no such value": ("features.1.expression.value", "nope"),
    "a table with uneven columns": ("tables.planes.columns.engine", ["jet"]),
    "a table whose keys are not unique": ("tables.planes.keys", ["N1", "N1", "N3"]),
    "an expression of no kind": ("features.2.expression", {"type": "call", "name": "exec"}),
    "a column used as number and text": ("features.4.expression.left.name", "carrier"),
    "a column of a feature that is not there": ("columns.NUMBER.feature", 99),
    "a column of a feature before the first": ("columns.NUMBER.feature", -1),
    "a number that is a category": ("columns.NUMBER.feature", 0),
    "a step that is none": ("columns.NUMBER.steps", [["eval", 1.0]]),
    "a division by zero": ("columns.NUMBER.steps", [["divide", 0.0]]),
    "steps without end": ("columns.NUMBER.steps", [["add", 1.0]] * 51),
    "a category that is a number": ("columns.CATEGORY.feature", 2),
    "fewer values than categories": ("columns.CATEGORY.values", []),
    "categories of another kind": ("columns.CATEGORY.keys", [1.5]),
    "steps for a text": ("columns.CATEGORY.steps", [["add", 1.0]]),
    "a text for a number": ("columns.CATEGORY.missing", "0"),
    "a model of no kind": ("model", {"type": "pickle", "data": "gASVCwAA"}),
    "a constant that is no probability": ("model", {"type": "constant", "probability": 1.5}),
    "weights that do not fit": ("model", {"type": "linear", "weights": [1.0], "intercept": 0.0}),
    "no trees": ("model.trees", []),
    "a tree that is text": ("model.trees.0", "tree"),
    "a division of nothing": ("model.divisor", 0.0),
    "a huge number": ("model.start", 10**400),
}


@pytest.mark.parametrize("path, value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_document_is_refused(trees: dict[str, Any], path: str, value: Any) -> None:
    path = path.replace("NUMBER", str(find_number(trees))).replace("CATEGORY", str(find_category(trees)))
    with pytest.raises((CompiledFormRefused, TerminalError)):
        load(change(trees, path, value))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\x80\x04\x95",
        b"\xff\xfe",
        b'{"format":1',
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b"NaN",
    ],
)
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(CompiledFormRefused, match="not such a file"):
        read_document(content)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, trees: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scorer.json"
    path.write_text(json.dumps(trees))
    assert read_file(path).format == 1
    monkeypatch.setattr(stored, "MAX_BYTES", 100)
    with pytest.raises(CompiledFormRefused, match="bytes"):
        read_file(path)
    with pytest.raises(CompiledFormRefused, match="cannot be read"):
        read_file(tmp_path / "absent")
    with pytest.raises(CompiledFormRefused, match="cannot be read"):
        read_file(tmp_path)


def test_a_small_file_does_not_become_a_large_table(trees: dict[str, Any]) -> None:
    """Each column lists one category; together they would fill a square."""
    column = trees["columns"][find_category(trees)]
    columns = [{**column, "keys": [str(place)], "values": [1.0]} for place in range(3000)]
    document = {**trees, "columns": columns, "model": {"type": "linear", "weights": [1.0] * 3000, "intercept": 0.0}}
    assert len(json.dumps(document)) < 500_000
    with pytest.raises(CompiledFormRefused, match="fill a table"):
        load(document)
    with pytest.raises(CompiledFormRefused, match="columns"):
        load({**document, "columns": columns * 4})


def test_a_category_that_is_no_text_cannot_be_written(trees: dict[str, Any]) -> None:
    document = read_document(json.dumps(trees).encode())
    column = msgspec.structs.replace(document.columns[find_category(trees)], keys=["\ud800"], values=[1.0])
    with pytest.raises(CompiledFormRefused, match="not valid text"):
        write_document(msgspec.structs.replace(document, columns=(column,)))


def test_a_request_of_other_types_is_refused(trees: dict[str, Any]) -> None:
    request = [RequestField(field.name, "string", True) for field in REQUEST]
    with pytest.raises(CompiledFormRefused, match="another type"):
        CompiledScorer(read_document(json.dumps(trees).encode()), request)


def list_places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, child in items for place in list_places(child, (*path, key))]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 300), max_size=3),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_refused_or_still_a_scorer(
    trees: dict[str, Any], linear: dict[str, Any], data: st.DataObject
) -> None:
    """No change makes it crash, hang, or answer something that is not a number."""
    changed = copy.deepcopy(data.draw(st.sampled_from([trees, linear])))
    places = list_places(changed)
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places))
        place: Any = changed
        try:
            for part in parents:
                place = place[part]
            place[last] = data.draw(JUNK)
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change removed this place
    try:
        scorer = load(json.dumps(changed).encode())
        answers = scorer.score([ROW, (None,) * 8]) + scorer.score_many([ROW])
    except TerminalError:
        return
    assert all(isinstance(answer, float) for answer in answers)
    assert not math.isinf(answers[0]) or "start" in json.dumps(changed)
