"""The model as it is stored and served: raw request in, probability of the positive class out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from include.errors import TrainingDataInvalid, UnsafeModel
from include.scoring.row_features import RowFeatures

# What a model file may hold beyond the types that skops itself trusts. Ours, never the list that a model brings along:
# whoever could write a model could write that list too.
TRUSTED_TYPES: tuple[str, ...] = (
    "include.scoring.row_features.RowFeatures",
    "include.scoring.scorer.Scorer",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


class Scorer(BaseEstimator):  # type: ignore[misc]
    """Row features and an estimator as one: what is trained, logged, blessed and served.

    ``estimator`` takes the feature frame of ``row_features``; ``task`` is "binary": the labels are 0.0 and 1.0.
    """

    def __init__(self, row_features: RowFeatures, estimator: Any, task: str = "binary") -> None:
        self.row_features = row_features
        self.estimator = estimator
        self.task = task

    def fit(self, requests: pd.DataFrame, y: ArrayLike) -> Self:
        """Fit a clone of ``estimator`` on the features of ``requests``. Raises TrainingDataInvalid for other labels."""
        return self.fit_features(self.row_features.transform(requests), y)

    def fit_features(self, features: pd.DataFrame, y: ArrayLike) -> Self:
        """The same on what ``row_features`` made of the requests already."""
        labels = np.asarray(y, dtype=np.float64)
        if self.task != "binary" or set(np.unique(labels)) != {0.0, 1.0}:
            raise TrainingDataInvalid(
                f"A {self.task} scorer cannot be fitted on the labels given.",
                next_step="Use the task binary, with labels 0 and 1 of which both occur.",
                measure="classes",
            )
        self.estimator_ = clone(self.estimator).fit(features, labels)
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, requests: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities of class 0 and class 1, one row per request."""
        features = self.row_features.transform(requests)
        probabilities: NDArray[np.float64] = self.estimator_.predict_proba(features)
        return probabilities

    def predict(self, requests: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of class 1 for each request, one-dimensional: the answer that an endpoint gives."""
        return np.ascontiguousarray(self.predict_proba(requests)[:, 1], dtype=np.float64)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "estimator_")


def load_scorer(model_dir: Path) -> Scorer:
    """Load ``model_dir/model.skops`` with our own list of types.

    Raises UnsafeModel, before anything in the file is built, when it asks for another type; and when it is not a
    readable model or not a Scorer.
    """
    path = model_dir / "model.skops"
    trusted = list(TRUSTED_TYPES)
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
    except Exception as error:  # a hostile file may break its reader in any way
        raise _refuse(path, f"it cannot be read ({type(error).__name__})") from error
    if foreign:
        raise _refuse(path, f"it asks for types that are not trusted: {', '.join(foreign)}", foreign)
    try:
        loaded = skops.io.load(path, trusted=trusted)
        row_features = getattr(loaded, "row_features", None)
        if isinstance(row_features, RowFeatures):
            row_features.fit()  # reads the declaration, so that a broken one shows here and not in an answer
    except Exception as error:
        raise _refuse(path, f"it cannot be loaded ({type(error).__name__})") from error
    if not isinstance(loaded, Scorer) or not isinstance(row_features, RowFeatures):
        raise _refuse(path, f"it holds a {type(loaded).__name__}, not a scorer", [type(loaded).__name__])
    return loaded


def _refuse(path: Path, problem: str, types: list[str] | None = None) -> UnsafeModel:
    return UnsafeModel(
        f"The model file {path} is refused: {problem}.",
        next_step="Use a model that this project trained and registered; if it did, look for who changed the file.",
        path=str(path),
        types=tuple(types or ()),
    )
