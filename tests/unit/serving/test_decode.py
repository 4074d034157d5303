"""What /invocations takes and what it refuses, without a server."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import pytest

from include.serving.decode import decode_body
from include.serving.schema import MAX_ROWS, RequestRefused, RequestSchema, read_schema, sanitise_name

JSON = "application/json"
CSV = "text/csv"
SECRET = "hunter2-the-callers-data"


@pytest.fixture(scope="module")
def schema() -> RequestSchema:
    return read_schema(
        {
            "hour": {"type": "number", "required": True},
            "carrier": {"type": "string", "required": True},
            "weight": {"type": "number", "required": False},
            "depot": {"type": "string", "required": False},
        }
    )


def refuse(schema: RequestSchema, body: Any, content_type: str = JSON) -> RequestRefused:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestRefused) as caught:
        decode_body(schema, content_type, content)
    assert SECRET not in json.dumps(caught.value.describe())
    return caught.value


GOOD = {
    "split": ({"dataframe_split": {"columns": ["carrier", "hour"], "data": [["AA", 5], ["BB", 6.5]]}}, JSON),
    "split with index": (
        {"dataframe_split": {"index": [0, 1], "columns": ["carrier", "hour"], "data": [["AA", 5], ["BB", 6.5]]}},
        JSON,
    ),
    "records": ({"dataframe_records": [{"hour": 5, "carrier": "AA"}, {"carrier": "BB", "hour": 6.5}]}, JSON),
    "instances": ({"instances": [{"hour": 5, "carrier": "AA"}, {"hour": 6.5, "carrier": "BB"}]}, JSON),
    "inputs by column": ({"inputs": {"hour": [5, 6.5], "carrier": ["AA", "BB"]}}, JSON),
    "inputs by row": ({"inputs": [{"hour": 5, "carrier": "AA"}, {"hour": 6.5, "carrier": "BB"}]}, JSON),
    "with empty params": (
        {"instances": [{"hour": 5, "carrier": "AA"}, {"hour": 6.5, "carrier": "BB"}], "params": {}},
        JSON,
    ),
    "with null params": ({"inputs": {"hour": [5, 6.5], "carrier": ["AA", "BB"]}, "params": None}, JSON),
    "csv": (b"carrier,hour\nAA,5\nBB,6.5\n", CSV),
    "csv with everything odd": (b'\xef\xbb\xbfcarrier,hour,weight\r\n"AA",+5.,\r\n\r\nBB, 6.5 ,\r\n', CSV),
}


@pytest.mark.parametrize("body, content_type", GOOD.values(), ids=GOOD.keys())
def test_every_shape_gives_the_same_columns_in_signature_order(
    schema: RequestSchema, body: Any, content_type: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = decode_body(schema, content_type, content)
    assert request.rows == 2
    assert list(request.columns) == ["hour", "carrier", "weight", "depot"]
    assert request.columns["hour"] == (5.0, 6.5)
    assert all(type(hour) is float for hour in request.columns["hour"])
    assert request.columns["carrier"] == ("AA", "BB")
    assert request.columns["weight"] == (None, None)
    assert request.columns["depot"] == (None, None)


def test_an_optional_column_may_be_null_and_an_empty_text_stays_text(schema: RequestSchema) -> None:
    body = {"dataframe_records": [{"hour": 1, "carrier": "", "weight": None, "depot": None}]}
    request = decode_body(schema, "application/json; charset=UTF-8", json.dumps(body).encode())
    assert request.values == [(1.0, "", None, None)]


ROW = {"hour": 1, "carrier": SECRET}
REFUSED: dict[str, tuple[Any, str, str | None]] = {
    "missing in all rows": ({"inputs": {"hour": [1]}}, "MISSING_COLUMN", "carrier"),
    "missing in one row": ({"dataframe_records": [ROW, {"carrier": SECRET}]}, "MISSING_COLUMN", "hour"),
    "null in required number": ({"dataframe_records": [{**ROW, "hour": None}]}, "NULL_VALUE", "hour"),
    "null in required text": ({"dataframe_records": [{**ROW, "carrier": None}]}, "NULL_VALUE", "carrier"),
    "text for a number": ({"dataframe_records": [{**ROW, "hour": SECRET}]}, "WRONG_TYPE", "hour"),
    "number for a text": ({"dataframe_records": [{**ROW, "carrier": 5}]}, "WRONG_TYPE", "carrier"),
    "boolean for a number": ({"dataframe_records": [{**ROW, "hour": True}]}, "WRONG_TYPE", "hour"),
    "list for a number": ({"dataframe_records": [{**ROW, "hour": [SECRET]}]}, "WRONG_TYPE", "hour"),
    "object for a text": ({"dataframe_records": [{**ROW, "carrier": {SECRET: 1}}]}, "WRONG_TYPE", "carrier"),
    "wrong type in an optional column": ({"dataframe_records": [{**ROW, "weight": "1"}]}, "WRONG_TYPE", "weight"),
    "unknown column": ({"dataframe_records": [{**ROW, "arr_time": SECRET}]}, "UNKNOWN_COLUMN", "arr_time"),
    "unknown column in split": (
        {"dataframe_split": {"columns": ["hour", "nope"], "data": [[1, SECRET]]}},
        "UNKNOWN_COLUMN",
        "nope",
    ),
    "column twice": ({"dataframe_split": {"columns": ["hour", "hour"], "data": []}}, "DUPLICATE_COLUMN", "hour"),
    "ragged split": (
        {"dataframe_split": {"columns": ["hour", "carrier"], "data": [[1, SECRET], [1]]}},
        "RAGGED_ROWS",
        None,
    ),
    "ragged inputs": ({"inputs": {"hour": [1, 2], "carrier": [SECRET]}}, "RAGGED_ROWS", None),
    "inputs of single values": ({"inputs": {"hour": 1, "carrier": SECRET}}, "WRONG_TYPE", "hour"),
    "rows without names": ({"instances": [[1, SECRET]]}, "UNKNOWN_SHAPE", None),
    "records that are no list": ({"dataframe_records": SECRET}, "UNKNOWN_SHAPE", None),
    "split without data": ({"dataframe_split": {"columns": ["hour"]}}, "UNKNOWN_SHAPE", None),
    "split with odd columns": ({"dataframe_split": {"columns": [[SECRET]], "data": []}}, "UNKNOWN_SHAPE", None),
    "two top keys": ({"inputs": [ROW], "instances": [ROW]}, "UNKNOWN_SHAPE", None),
    "params": ({"inputs": [ROW], "params": {"temperature": 1}}, "UNKNOWN_PARAMETERS", "params"),
    "a key beside it": ({"inputs": [ROW], SECRET: 1}, "UNKNOWN_SHAPE", None),
    "bare list": ([ROW], "UNKNOWN_SHAPE", None),
    "bare number": (5, "UNKNOWN_SHAPE", None),
    "no rows": ({"dataframe_records": []}, "EMPTY", None),
    "no columns": ({"inputs": {}}, "EMPTY", None),
    "empty body": (b" \n", "EMPTY", None),
    "not JSON": (SECRET.encode(), "BAD_JSON", None),
    "half a JSON": (b'{"inputs": [{"hour": 1, "carrier": "' + SECRET.encode(), "BAD_JSON", None),
    "not UTF-8": (b'{"inputs": [{"carrier": "\xff"}]}', "BAD_JSON", None),
    "half a character": (b'{"inputs": [{"carrier": "\\ud800"}]}', "BAD_JSON", None),
    "NaN": (b'{"inputs": [{"hour": NaN, "carrier": "AA"}]}', "BAD_JSON", None),
    "Infinity": (b'{"inputs": [{"hour": -Infinity, "carrier": "AA"}]}', "BAD_JSON", None),
    "1e999": (b'{"inputs": [{"hour": 1e999, "carrier": "AA"}]}', "NOT_FINITE", "hour"),
    "1e999 in a later row": (
        b'{"instances": [{"hour": 1, "carrier": "AA"}, {"carrier": "AA", "hour": 1, "weight": -1e999}]}',
        "NOT_FINITE",
        "weight",
    ),
    "1e999 in split": (
        b'{"dataframe_split": {"columns": ["carrier", "hour"], "data": [["AA", 1], ["AA", 1e999]]}}',
        "NOT_FINITE",
        "hour",
    ),
    "1e999 by column": (b'{"inputs": {"hour": [1, 1e999], "carrier": ["AA", "AA"]}}', "NOT_FINITE", "hour"),
    "1e999 for a text": (b'{"inputs": [{"hour": 1, "carrier": 1e999}]}', "NOT_FINITE", "carrier"),
    "1e999 in an unknown column": (b'{"inputs": [{"hour": 1, "carrier": "AA", "x": 1e999}]}', "UNKNOWN_COLUMN", "x"),
    "1e999 in no column": (b'{"inputs": [{"hour": [1e999], "carrier": "AA"}]}', "NOT_FINITE", None),
    "1e999 in no JSON": (b'{"inputs": [{"hour": 1e999, "carrier": "AA"}', "NOT_FINITE", None),
    "1e999 and deep nesting": (b'{"inputs": [1e999, ' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "NOT_FINITE", None),
    "a number of more digits than Python reads": (
        b'{"inputs": [{"hour": 1' + b"0" * 5000 + b', "carrier": "AA"}]}',
        "NOT_FINITE",
        "hour",
    ),
    "a whole number beyond floats": (
        b'{"inputs": [{"hour": 1' + b"0" * 400 + b', "carrier": "AA"}]}',
        "NOT_FINITE",
        "hour",
    ),
    "deep nesting": (b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "TOO_DEEP", None),
}


@pytest.mark.parametrize("body, code, column", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_json_is_a_400_that_names_the_column_and_echoes_nothing(
    schema: RequestSchema, body: Any, code: str, column: str | None
) -> None:
    error = refuse(schema, body)
    assert (error.status, error.error_code, error.column) == (400, code, column)
    if column is not None:
        assert column in error.message


REFUSED_CSV: dict[str, tuple[bytes, str, str | None]] = {
    "no header": (b"5,hunter2-the-callers-data\n6,BB\n", "MISSING_HEADER", None),
    "unknown column": (b"hour,carrier,arr_time\n5,AA,hunter2-the-callers-data\n", "UNKNOWN_COLUMN", "arr_time"),
    "column twice": (b"hour,carrier,hour\n5,AA,6\n", "DUPLICATE_COLUMN", "hour"),
    "missing column": (b"hour\n5\n", "MISSING_COLUMN", "carrier"),
    "null in required": (b"hour,carrier\n5,AA\n,BB\n", "NULL_VALUE", "hour"),
    "text for a number": (b"hour,carrier\nhunter2-the-callers-data,AA\n", "WRONG_TYPE", "hour"),
    "nan for a number": (b"hour,carrier\nnan,AA\n", "WRONG_TYPE", "hour"),
    "underscores in a number": (b"hour,carrier\n1_000,AA\n", "WRONG_TYPE", "hour"),
    "digits of another script": ("hour,carrier\n\u0665,AA\n".encode(), "WRONG_TYPE", "hour"),
    "a number beyond floats": (b"hour,carrier\n1e400,AA\n", "NOT_FINITE", "hour"),
    "ragged": (b"hour,carrier\n5,AA,hunter2-the-callers-data\n", "RAGGED_ROWS", None),
    "only a header": (b"hour,carrier\n", "EMPTY", None),
    "open quote": (b'hour,carrier\n5,"hunter2-the-callers-data\n', "BAD_CSV", None),
    "huge field": (b"hour,carrier\n5," + b"A" * 200_000 + b"\n", "BAD_CSV", None),
    "not UTF-8": (b"hour,carrier\n5,\xff\n", "BAD_CSV", None),
}


@pytest.mark.parametrize("body, code, column", REFUSED_CSV.values(), ids=REFUSED_CSV.keys())
def test_wrong_csv_is_a_400_that_names_the_column_and_echoes_nothing(
    schema: RequestSchema, body: bytes, code: str, column: str | None
) -> None:
    error = refuse(schema, body, CSV)
    assert (error.status, error.error_code, error.column) == (400, code, column)


def test_a_huge_field_is_refused_though_another_library_lifted_the_limit_of_csv(schema: RequestSchema) -> None:
    before = csv.field_size_limit(sys.maxsize)  # what importing scipy.io does
    try:
        assert refuse(schema, REFUSED_CSV["huge field"][0], CSV).error_code == "BAD_CSV"
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-parquet", "application/json; charset=utf-16", "json"]
)
def test_another_content_type_is_a_415(schema: RequestSchema, content_type: str) -> None:
    assert refuse(schema, {"inputs": [ROW]}, content_type).status == 415


def test_too_many_rows_are_a_413_in_each_form(schema: RequestSchema) -> None:
    lines = b"hour,carrier\n" + b"1,A\n" * (MAX_ROWS + 1)
    split = {"dataframe_split": {"columns": ["hour", "carrier"], "data": [[1, "A"]] * (MAX_ROWS + 1)}}
    for body, content_type in ((lines, CSV), (split, JSON), ({"instances": [{}] * (MAX_ROWS + 1)}, JSON)):
        assert refuse(schema, body, content_type).status == 413


def test_an_unknown_name_is_cut_and_cleaned_before_it_is_shown(schema: RequestSchema) -> None:
    name = "<script>alert('x')</script>\n" + "y" * 500
    error = refuse(schema, {"dataframe_records": [{**ROW, name: 1}]})
    assert error.column == sanitise_name(name)
    assert len(error.column) == 64
    assert not set("<>'\"&\n") & set(error.column)
    assert "<" not in error.message


@pytest.mark.parametrize("request_facts", [{}, {"a": {"type": "date", "required": True}}])
def test_a_stored_request_that_is_none_is_an_error(request_facts: Any) -> None:
    with pytest.raises(ValueError, match=r"date|column"):
        read_schema(request_facts)


REQUEST_FACTS = {
    "hour": {"type": "number", "required": True},
    "carrier": {"type": "string", "required": True},
    "weight": {"type": "number", "required": False},
}


def decode_relaxed(rules: dict[str, str], body: Any, content_type: str = JSON) -> list[tuple[Any, ...]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_body(read_schema(REQUEST_FACTS, rules), content_type, content).values


def in_every_form(row: dict[str, Any]) -> list[tuple[Any, str]]:
    fields = ["" if value is None else str(value) for value in row.values()]
    return [
        ({"instances": [row]}, JSON),
        ({"dataframe_records": [row]}, JSON),
        ({"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}, JSON),
        ({"inputs": {name: [value] for name, value in row.items()}}, JSON),
        (f"{','.join(row)}\n{','.join(fields)}\n".encode(), CSV),
    ]


@pytest.mark.parametrize(
    "rules, row, code, values",
    [
        ({"unknown_columns": "ignore"}, {"hour": 1, "x": 2, "carrier": "AA"}, "UNKNOWN_COLUMN", (1.0, "AA", None)),
        ({"unknown_columns": "ignore"}, {"y": "z", "hour": 1, "x": "", "carrier": "AA"}, "UNKNOWN_COLUMN", None),
        ({"required_nulls": "accept"}, {"hour": None, "carrier": "AA"}, "NULL_VALUE", (None, "AA", None)),
        ({"required_nulls": "accept"}, {"hour": 1, "carrier": None, "weight": 2}, "NULL_VALUE", (1.0, None, 2.0)),
    ],
)
def test_a_declaration_may_relax_a_rule_for_every_form_of_a_request(
    rules: dict[str, str], row: dict[str, Any], code: str, values: tuple[Any, ...] | None
) -> None:
    for body, content_type in in_every_form(row):
        assert decode_relaxed(rules, body, content_type) == [values or (1.0, "AA", None)]
        with pytest.raises(RequestRefused) as caught:
            decode_relaxed({}, body, content_type)
        assert caught.value.error_code == code


def test_a_number_may_be_spelled_where_the_declaration_says_so() -> None:
    rules = {"number_texts": "read"}
    for spelled in ("5", " 5.0 ", "+5e0"):
        for body, content_type in in_every_form({"hour": spelled, "carrier": "AA"}):
            assert decode_relaxed(rules, body, content_type) == [(5.0, "AA", None)]
    for wrong in ("", "five", "NaN", "inf", "1_000", "0x10", "1e999", True, [5]):
        with pytest.raises(RequestRefused) as caught:
            decode_relaxed(rules, {"instances": [{"hour": wrong, "carrier": "AA"}]})
        assert caught.value.column == "hour"
    with pytest.raises(RequestRefused):
        decode_relaxed({}, {"instances": [{"hour": "5", "carrier": "AA"}]})


def test_relaxed_rules_leave_the_others_as_they_are() -> None:
    everything = {"unknown_columns": "ignore", "required_nulls": "accept", "number_texts": "read"}
    for body, code in (
        ({"instances": [{"carrier": "AA"}]}, "MISSING_COLUMN"),
        ({"instances": [{"hour": 1, "carrier": 5}]}, "WRONG_TYPE"),
        ({"dataframe_split": {"columns": ["hour", "hour"], "data": [[1, 1]]}}, "DUPLICATE_COLUMN"),
        ({"inputs": {"x": [1]}}, "EMPTY"),
        ({"instances": [{"hour": 1, "carrier": "AA"}], "x": 1}, "UNKNOWN_SHAPE"),
    ):
        with pytest.raises(RequestRefused) as caught:
            decode_relaxed(everything, body)
        assert caught.value.error_code == code
