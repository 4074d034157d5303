"""Asking a serving process stored rows and comparing its answers with the scores those rows had on the holdout."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from include.contracts import PREDICTION_COLUMN
from include.declaration.models import Pipeline
from include.deployment.local.client import Endpoint, Reply, ask
from include.deployment.target import Answer
from include.errors import AnswersDiffer, EndpointUnavailable, TargetUnavailable

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-9
_ROWS_PER_REQUEST = 500


@dataclass(frozen=True)
class StoredRows:
    """Raw requests and the scores they had, row by row."""

    requests: pd.DataFrame
    scores: list[float]


@dataclass(frozen=True)
class ReplayReport:
    """``rows`` stored rows asked in ``requests`` requests; their largest difference from the stored scores."""

    version: str
    rows: int
    requests: int
    max_difference: float
    seconds: float


def read_stored_rows(pipeline: Pipeline, holdout_predictions: str, rows: int) -> StoredRows:
    """Up to ``rows`` rows of the predictions file (Parquet: request columns and ``prediction``), evenly spaced."""
    import pandas as pd

    frame = pd.read_parquet(holdout_predictions, columns=[*pipeline.request.columns, PREDICTION_COLUMN])
    count = min(rows, len(frame))
    chosen = frame.iloc[[place * len(frame) // count for place in range(count)]]
    return StoredRows(chosen[list(pipeline.request.columns)], [float(score) for score in chosen[PREDICTION_COLUMN]])


def clip_scores(stored: StoredRows, rules: list[dict[str, Any]]) -> StoredRows:
    """The stored rows with the scores that an endpoint lets out under ``rules``, as its /version lists them."""
    scores = stored.scores
    for rule in rules:
        if rule["action"] == "clip":
            lowest = -math.inf if rule["minimum"] is None else float(rule["minimum"])
            highest = math.inf if rule["maximum"] is None else float(rule["maximum"])
            scores = [min(max(score, lowest), highest) for score in scores]
    return replace(stored, scores=scores)


def build_records(requests: pd.DataFrame) -> bytes:
    """The body of a dataframe_records request."""
    names = list(requests.columns)
    records = [dict(zip(names, row, strict=True)) for row in _list_rows(requests)]
    return json.dumps({"dataframe_records": records}, allow_nan=False).encode()


def build_split(requests: pd.DataFrame) -> bytes:
    """The body of a dataframe_split request."""
    content = {"columns": list(requests.columns), "data": _list_rows(requests)}
    return json.dumps({"dataframe_split": content}, allow_nan=False).encode()


def build_csv(requests: pd.DataFrame) -> bytes:
    """The body of a CSV request; numbers keep every digit."""
    text = io.StringIO()
    requests.to_csv(text, index=False)
    return text.getvalue().encode()


def replay_rows(
    endpoint: Endpoint, version: str, stored: StoredRows, *, every_format: bool, seconds: float
) -> ReplayReport:
    """Ask every stored row, in batches: as records, and with ``every_format`` as split, as CSV and one alone too.

    Raises AnswersDiffer when an answer is refused, comes from another version, or is further than 1e-9 from the stored
    score; EndpointUnavailable when there is none, or not all after ``seconds``.
    """
    started = time.monotonic()
    requests = 0
    largest = 0.0
    if not stored.scores:
        raise _differ(version, "there is no stored row to ask")
    for content, content_type, scores in _list_bodies(stored, every_format):
        reply = ask(
            endpoint,
            "POST",
            "/invocations",
            content=content,
            content_type=content_type,
            seconds=started + seconds - time.monotonic(),
        )
        if reply.status == 503:
            raise EndpointUnavailable(
                f"The endpoint {endpoint.url} has no model ready ({reply.body}).",
                next_step="See its log (make logs), then run this again.",
                url=endpoint.url,
                version=version,
            )
        largest = max(largest, _compare(version, reply, scores))
        requests += 1
    return ReplayReport(version, len(stored.scores), requests, largest, time.monotonic() - started)


def replay_predictions(
    predict: Callable[[bytes, str], Answer], version: str, stored: StoredRows, seconds: float
) -> ReplayReport:
    """The same through whatever serves a version; an answer that names no version is taken for the right one.

    Raises AnswersDiffer, and what ``predict`` raises; TransientError when not all were asked after ``seconds``.
    """
    started = time.monotonic()
    largest = 0.0
    requests = 0
    if not stored.scores:
        raise _differ(version, "there is no stored row to ask")
    for content, content_type, scores in _list_bodies(stored, every_format=False):
        if time.monotonic() > started + seconds:
            raise TargetUnavailable(
                f"Version {version} did not answer its stored rows within {seconds:g} s.",
                next_step="It is tried again.",
                target="",
                call="predict",
                code="slow",
            )
        answer = predict(content, content_type)
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = None
        if isinstance(body, dict):
            body.setdefault("model_version", version)
        largest = max(largest, _compare(version, Reply(answer.status, body), scores))
        requests += 1
    return ReplayReport(version, len(stored.scores), requests, largest, time.monotonic() - started)


def check_refusal(endpoint: Endpoint, version: str, stored: StoredRows, seconds: float) -> None:
    """A wrong request must be refused by name. Raises AnswersDiffer when it is not."""
    first = _list_rows(stored.requests.iloc[:1])[0]
    # No declaration makes an endpoint take a list for a number or a text.
    wrong = str(stored.requests.columns[0])
    record = {**dict(zip(stored.requests.columns, first, strict=True)), wrong: []}
    content = json.dumps({"dataframe_records": [record]}, allow_nan=False).encode()
    reply = ask(endpoint, "POST", "/invocations", content=content, seconds=seconds)
    if reply.status != 400 or not isinstance(reply.body, dict) or reply.body.get("error_code") != "WRONG_TYPE":
        raise _differ(version, f"a list in the column {wrong} got {reply.status} instead of a 400 for a wrong type")


def _list_bodies(stored: StoredRows, every_format: bool) -> list[tuple[bytes, str, list[float]]]:
    bodies = []
    for start in range(0, len(stored.scores), _ROWS_PER_REQUEST):
        rows = slice(start, start + _ROWS_PER_REQUEST)
        requests, scores = stored.requests.iloc[rows], stored.scores[rows]
        bodies.append((build_records(requests), "application/json", scores))
        if every_format:
            bodies.append((build_split(requests), "application/json", scores))
            # CSV cannot tell an empty text from null, so a row with one is left to JSON.
            empty = (requests == "").any(axis=1).to_numpy()
            told = [score for score, unclear in zip(scores, empty, strict=True) if not unclear]
            if told:
                bodies.append((build_csv(requests[~empty]), "text/csv", told))
    if every_format:
        bodies.append((build_records(stored.requests.iloc[:1]), "application/json", stored.scores[:1]))
    return bodies


def _list_rows(requests: pd.DataFrame) -> list[list[Any]]:
    import pandas as pd

    columns = [
        [None if value is None or value is pd.NA or value != value else value for value in requests[name].tolist()]
        for name in requests.columns
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _compare(version: str, reply: Reply, scores: list[float]) -> float:
    body = reply.body if isinstance(reply.body, dict) else {}
    if reply.status != 200:
        raise _differ(version, f"stored rows got {reply.status}: {body.get('message', 'no message')}")
    if body.get("model_version") != version:
        raise _differ(version, f"the answer came from version {body.get('model_version')}")
    answers = body.get("predictions")
    if not isinstance(answers, list) or len(answers) != len(scores):
        raise _differ(version, "it did not give one answer for each row")
    differences = [abs(float(answer) - score) for answer, score in zip(answers, scores, strict=True)]
    largest = max(differences, default=0.0)
    # Written so that a NaN on either side fails too.
    if not all(difference <= TOLERANCE for difference in differences):
        shown = largest if math.isfinite(largest) else math.nan
        raise _differ(version, f"an answer differs from its stored score by {shown:.3g}", shown)
    return largest


def _differ(version: str, reason: str, difference: float | None = None) -> AnswersDiffer:
    return AnswersDiffer(
        f"Version {version} does not answer stored rows as it did on the holdout: {reason}.",
        next_step="Compare the training's feature code and tables with the version's; train again if they differ.",
        version=version,
        reason=reason,
        difference=difference,
    )
