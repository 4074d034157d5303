"""Requests as JSON: the same real rows, in several bodies, to every server."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

# Bodies of one size that take turns, so that no server answers a row that it has just seen. Large ones need fewer.
_BODIES = {1: 200, 100: 20, 10_000: 2}


def write_split(frame: pd.DataFrame) -> str:
    """``frame`` in MLflow's dataframe_split shape; a missing value is null."""
    cells = frame.astype(object).where(frame.notna(), None)
    return json.dumps({"dataframe_split": {"columns": list(frame.columns), "data": cells.to_numpy().tolist()}})


def write_bodies(requests: pd.DataFrame, rows: int, path: Path) -> Path:
    """Write ``path``, one body of ``rows`` rows a line, drawn from ``requests`` with the same seed everywhere."""
    bodies = _BODIES[rows]
    drawn = requests.sample(bodies * rows, random_state=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for number in range(bodies):
            file.write(write_split(drawn.iloc[number * rows : (number + 1) * rows]) + "\n")
    return path


def break_body(body: str, text: str, number: str, required: bool) -> dict[str, str]:
    """What a server ought to refuse, by its name: the same request with a wrong type in the columns ``text`` and
    ``number``, with one that nobody declared, and, where they are ``required``, without a value of ``text``."""
    split = json.loads(body)["dataframe_split"]
    names, data = split["columns"], split["data"]
    place = names.index(text)

    def fill(column: str, value: object) -> str:
        at = names.index(column)
        return _write(names, [[*row[:at], value, *row[at + 1 :]] for row in data])

    broken = {
        "a number for a text": fill(text, 7),
        # One that spells a number: what a data frame converts without a word.
        "a text for a number": fill(number, "7"),
        "an unknown column": _write([*names, "unheard_of"], [[*row, 1.0] for row in data]),
    }
    if required:
        without = [row[:place] + row[place + 1 :] for row in data]
        broken["a missing column"] = _write(names[:place] + names[place + 1 :], without)
        broken["a null"] = fill(text, None)
    return broken


def _write(columns: list[str], data: list[list[object]]) -> str:
    return json.dumps({"dataframe_split": {"columns": columns, "data": data}})
