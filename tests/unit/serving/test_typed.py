"""What is decoded in one go is what is read step by step: the same rows, and nothing accepted that would be refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.serving import decode
from include.serving.decode import decode_body
from include.serving.schema import MAX_ROWS, RequestRefused, RequestSchema, read_schema
from include.serving.typed import TypedDecoder

# Optional between required, names that Python would not take, and one that a struct might use itself.
NAMES = ("hour", "a b", "__class__", "carrier", "depot")
REQUEST = {
    "hour": {"type": "number", "required": True},
    "a b": {"type": "number", "required": False},
    "__class__": {"type": "number", "required": True},
    "carrier": {"type": "string", "required": True},
    "depot": {"type": "string", "required": False},
}
SCHEMA = read_schema(REQUEST)
NUMBER = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**30), 10**30), st.just(10**400))
ANYTHING = st.one_of(st.none(), st.booleans(), NUMBER, st.text(max_size=3), st.just([]), st.just({}))
VALUE = {"number": NUMBER, "string": st.text(max_size=3)}


def values_of(name: str) -> st.SearchStrategy[Any]:
    usual = VALUE[str(REQUEST[name]["type"])]
    return st.one_of(usual, usual, usual, usual, st.none() if not REQUEST[name]["required"] else usual, ANYTHING)


@st.composite
def records(draw: st.DrawFn) -> list[Any]:
    rows: list[Any] = []
    for _ in range(draw(st.integers(0, 3))):
        names = [name for name in NAMES if REQUEST[name]["required"] or draw(st.booleans())]
        names += draw(st.sampled_from([[], [], [], ["other"]]))
        if draw(st.integers(0, 9)) == 0 and names:
            names.pop(0)
        rows.append({name: draw(values_of(name) if name in REQUEST else ANYTHING) for name in names})
    return rows


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    rows = draw(records())
    names = draw(st.permutations(NAMES))
    names = names[: draw(st.integers(3, 5))] + draw(st.sampled_from([[], [], ["other"], ["hour"]]))
    data = [[draw(values_of(name) if name in REQUEST else ANYTHING) for name in names] for _ in range(len(rows))]
    columns: dict[str, Any] = {name: [row[place] for row in data] for place, name in enumerate(names)}
    if data and draw(st.integers(0, 9)) == 0:
        data[0] = data[0][:-1]
    if draw(st.integers(0, 9)) == 0:
        columns[names[0]] = draw(ANYTHING)
    split = {"columns": names, "data": data, **draw(st.sampled_from([{}, {}, {"index": [1]}, {"name": 1}]))}
    content = {
        "dataframe_split": split,
        "dataframe_records": rows,
        "instances": draw(st.sampled_from([rows, rows, rows, None, columns])),
        "inputs": draw(st.sampled_from([rows, columns])),
    }
    shapes = draw(st.sampled_from([*([shape] for shape in content), ["inputs", "instances"]]))
    return {shape: content[shape] for shape in shapes}


def read_strictly(body: bytes) -> list[tuple[Any, ...]]:
    return decode._decode_strictly(SCHEMA, "application/json", body)


@settings(max_examples=300, deadline=None)
@given(bodies(), st.booleans())
def test_both_ways_read_the_same_rows(content: Any, spaced: bool) -> None:
    body = json.dumps(content, indent=1 if spaced else None).encode()
    found = TypedDecoder(SCHEMA).decode(body)
    try:
        expected: list[tuple[Any, ...]] | None = read_strictly(body)
    except RequestRefused as error:
        expected = [] if error.error_code == "EMPTY" else None
    assert found in (expected, None) or found == expected == []
    if expected:
        assert found == expected  # what fits does not need the second look
        assert [list(map(type, row)) for row in found] == [list(map(type, row)) for row in expected]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_bit(number: float) -> None:
    body = json.dumps({"instances": [{"hour": number, "__class__": number, "carrier": ""}]}).encode()
    ((hour, _, again, _, _),) = decode_body(SCHEMA, "application/json", body).values
    assert (hour, again) == (number, number)
    assert math.copysign(1, hour) == math.copysign(1, number)


def test_a_key_given_twice_counts_once_and_last(schema: RequestSchema = SCHEMA) -> None:
    body = b'{"instances":[{"hour":1,"hour":2,"__class__":0,"carrier":"A"}]}'
    assert TypedDecoder(schema).decode(body) == read_strictly(body) == [(2.0, None, 0.0, "A", None)]


def test_a_request_of_one_column_may_be_split() -> None:
    schema = read_schema({"a": {"type": "number", "required": False}})
    body = b'{"dataframe_split":{"columns":["a"],"data":[[1],[null]]}}'
    assert decode_body(schema, "application/json", body).values == [(1.0,), (None,)]
    # Without its only column there is nothing that says how many rows there are but the rows.
    empty = b'{"dataframe_split":{"columns":[],"data":[[],[]]}}'
    assert decode_body(schema, "application/json", empty).values == [(None,), (None,)]


@pytest.mark.parametrize("shape", ["dataframe_records", "instances", "inputs"])
def test_rows_that_take_no_room_in_the_body_take_little_in_memory(shape: str) -> None:
    """Six million bytes of empty rows would be a gigabyte of decoded ones."""
    schema = read_schema({f"column {n}": {"type": "number", "required": False} for n in range(50)})
    body = b'{"%s":[%s]}' % (shape.encode(), b",".join([b"{}"] * (MAX_ROWS + 2)))
    assert TypedDecoder(schema).decode(body) is None
    with pytest.raises(RequestRefused) as caught:
        decode_body(schema, "application/json", body)
    assert caught.value.status == 413
