"""Rows in the JSON that MLflow's and Tollgate's own servers take, as a request of the v2 (Open Inference) protocol."""

from __future__ import annotations

import json
from typing import Any

from include.errors import TargetRefused


def is_v2(document: Any) -> bool:
    """Whether a decoded body is a v2 request already."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    return isinstance(inputs, list) and all(isinstance(one, dict) and "datatype" in one for one in inputs)


def convert_to_v2(body: bytes) -> bytes:
    """A body with ``dataframe_split`` or ``dataframe_records`` as a v2 request of one tensor a column; one that is v2
    already stays. Raises TargetRefused for any other, and for a null, which a tensor cannot hold."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _refuse(f"it is no JSON ({error})") from None
    if is_v2(document):
        return body
    names, rows = _read_rows(document)
    columns = [_build_column(name, [row[place] for row in rows]) for place, name in enumerate(names)]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": columns}, allow_nan=False).encode()


def _read_rows(document: Any) -> tuple[list[str], list[list[Any]]]:
    try:
        if "dataframe_split" in document:
            split = document["dataframe_split"]
            names, rows = list(split["columns"]), [list(row) for row in split["data"]]
        else:
            records = document["dataframe_records"]
            names = list(records[0])
            rows = [[record[name] for name in names] for record in records]
    except (TypeError, KeyError, IndexError):
        raise _refuse("it has neither dataframe_split nor dataframe_records with rows") from None
    if not rows or any(len(row) != len(names) for row in rows):
        raise _refuse("its rows do not fit its columns")
    return names, rows


def _build_column(name: str, values: list[Any]) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "shape": [len(values), 1]}
    if all(isinstance(value, str) for value in values):
        return {**column, "datatype": "BYTES", "data": values, "parameters": {"content_type": "str"}}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {**column, "datatype": "FP64", "data": [float(value) for value in values]}
    raise _refuse(f"column {name} is neither all numbers nor all texts; a tensor has no nulls")


def _refuse(problem: str) -> TargetRefused:
    return TargetRefused(
        f"The request cannot be put as one of the v2 protocol: {problem}.",
        next_step="Send a v2 request, or rows without nulls; or declare an image, whose server takes both.",
        target="kserve",
        call="predict",
        code="v2",
    )
