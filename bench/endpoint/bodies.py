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


def break_body(body: str, column: str) -> dict[str, str]:
    """The same request with ``column`` left out, and with it null: what a server ought to refuse."""
    document = json.loads(body)
    names, data = document["dataframe_split"]["columns"], document["dataframe_split"]["data"]
    place = names.index(column)
    without = {"columns": names[:place] + names[place + 1 :], "data": [r[:place] + r[place + 1 :] for r in data]}
    null = {"columns": names, "data": [[*r[:place], None, *r[place + 1 :]] for r in data]}
    return {"missing": json.dumps({"dataframe_split": without}), "null": json.dumps({"dataframe_split": null})}
