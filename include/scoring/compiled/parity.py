"""The gate before a compiled form is stored: the same answers as the scikit-learn model, or none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.errors import CompiledFormRefused, TerminalError
from include.scoring.compiled.adversarial import find_thresholds, make_rows
from include.scoring.compiled.document import Document, Tree
from include.scoring.compiled.row_expressions import Row
from include.scoring.compiled.scorer import CompiledScorer, RequestField
from include.scoring.expressions import Column, Feature
from include.scoring.row_features import read_columns
from include.scoring.scorer import Scorer

TOLERANCE = 1e-9
# Of the holdout, so many rows are also asked one by one; all are asked together.
_SINGLE_ROWS = 2_000

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """How many rows were compared, on how many of which both sides refuse to answer, and the largest difference."""

    rows: int
    refused: int
    max_difference: float


def check_parity(scorer: Scorer, document: Document, requests: pd.DataFrame, library: Path | None) -> Parity:
    """Compare the compiled form with ``scorer`` on ``requests``, on adversarial requests and on adversarial features.

    Infinite numbers are among the features only: a request with one is refused before it is scored.

    Both ways of scoring are asked, one row and many, with numpy and, where there is a ``library``, with native code.
    Raises CompiledFormRefused, naming the first row that is answered otherwise.
    """
    kinds = scorer.row_features.column_kinds
    holdout = _read_requests(requests, kinds)
    adversarial = make_rows(holdout, kinds, {}, infinite=False)
    features = scorer.row_features.transform(holdout.iloc[:: max(1, len(holdout) // _SINGLE_ROWS)])
    harsh = _make_features(document, features)
    libraries = [None, library] if library is not None else [None]
    found = [
        _compare(what, document, frame, _ask(scorer.predict, frame), libraries)
        for what, frame in (("a row of the holdout", holdout), ("an adversarial request", adversarial))
    ]
    by_features = _take_features(document)
    answers = _ask(lambda frame: scorer.estimator_.predict_proba(frame)[:, 1], harsh)
    found.append(_compare("a row of adversarial features", by_features, harsh, answers, libraries))
    return Parity(
        rows=sum(each.rows for each in found),
        refused=sum(each.refused for each in found),
        max_difference=max(each.max_difference for each in found),
    )


def _read_requests(requests: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """The columns that the features read, in their types; one that is absent is missing."""
    columns = read_columns(requests, dict(kinds))
    gaps = {"number": np.full(len(requests), math.nan), "string": np.full(len(requests), None, dtype=object)}
    return pd.DataFrame({name: columns.get(name, gaps[kind]) for name, kind in kinds.items()})


def _make_features(document: Document, features: pd.DataFrame) -> pd.DataFrame:
    kinds = {feature.name: feature.kind for feature in document.features}
    thresholds = find_thresholds(document, msgspec.json.Decoder(Tree).decode)
    special = {document.features[place].name: values for place, values in thresholds.items()}
    return make_rows(features, kinds, special, infinite=True)


def _take_features(document: Document) -> Document:
    """The same model, asked with finished features."""
    plain = tuple(Feature(each.name, Column(each.name), each.kind) for each in document.features)
    return msgspec.structs.replace(document, features=plain, tables={})


def _ask(predict: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> Scores:
    """The scikit-learn model's answers; NaN where it refuses. It refuses a batch for one row, so batches are halved."""
    try:
        return np.asarray(predict(frame), dtype=np.float64)
    except Exception:  # noqa: BLE001 (however it refuses a row)
        if len(frame) == 1:
            return np.array([math.nan])
    middle = len(frame) // 2
    return np.concatenate([_ask(predict, frame.iloc[:middle]), _ask(predict, frame.iloc[middle:])])


def _compare(
    what: str, document: Document, frame: pd.DataFrame, expected: Scores, libraries: Sequence[Path | None]
) -> Parity:
    kinds = {name: "number" if frame[name].dtype == np.float64 else "string" for name in frame.columns}
    request = [RequestField(str(name), kind, True) for name, kind in kinds.items()]
    rows: list[Row] = list(zip(*(_list_values(frame[name]) for name in frame.columns), strict=True))
    answered = np.flatnonzero(np.isfinite(expected)).tolist()
    refused = np.flatnonzero(~np.isfinite(expected)).tolist()
    single = answered[:: max(1, len(answered) // _SINGLE_ROWS)]
    largest = 0.0
    for library in libraries:
        compiled = CompiledScorer(document, request, library)
        try:
            together = compiled.score_many([rows[place] for place in answered]) if answered else []
            alone = [compiled.score_one(rows[place]) for place in single]
        except TerminalError as error:
            raise _refuse(f"{what} is refused that the scikit-learn model answers") from error
        largest = max(largest, _measure(what, together, expected[answered]), _measure(what, alone, expected[single]))
        for place in refused:
            if any(isinstance(value, float) and math.isinf(value) for value in rows[place]):
                continue  # an infinite feature, which no request has: what answers it well need not refuse it
            for score in (compiled.score_one, lambda row: compiled.score_many([row])[0]):  # noqa: B023 (called at once)
                if _answers(score, rows[place]):
                    raise _refuse(f"{what} is answered that the scikit-learn model refuses")
    return Parity(len(rows), len(refused), largest)


def _list_values(values: pd.Series[Any]) -> list[Any]:
    return [None if value is None or value != value else value for value in values.tolist()]


def _measure(what: str, scores: Sequence[float], expected: Scores) -> float:
    differences = np.abs(np.array(scores) - expected)
    # Written so that a NaN fails too.
    if not (differences <= TOLERANCE).all():
        raise _refuse(f"{what} gets another probability, by {float(np.max(differences)):.3g}")
    return float(differences.max(initial=0.0))


def _answers(score: Callable[[Row], float], row: Row) -> bool:
    try:
        return math.isfinite(score(row))
    except TerminalError:
        return False


def _refuse(problem: str) -> CompiledFormRefused:
    return CompiledFormRefused(
        f"The compiled form is not the model: {problem}.",
        next_step="The scikit-learn model serves. This is a defect of the compiled form: report the kind of model.",
        reason=problem,
    )
