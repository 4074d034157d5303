"""Models made only of types that Tollgate trusts, whose answers are no probabilities."""

from __future__ import annotations

from typing import Any


def _take_numbers(estimator: Any, *names: str) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline as Chain
    from sklearn.preprocessing import MinMaxScaler

    numbers = Chain([("fill", SimpleImputer()), ("scale", MinMaxScaler((0, 30)))])
    return Chain([("columns", ColumnTransformer([("number", numbers, list(names))])), ("model", estimator)])


def build_undefined(seed: int, threads: int) -> Any:
    """Bayes with a prior below zero: its logarithm, and with it every answer, is not a number."""
    from sklearn.naive_bayes import BernoulliNB

    return _take_numbers(BernoulliNB(binarize=15.0, class_prior=[-1.0, 2.0]), "hour", "distance")


def build_overshooting(seed: int, threads: int) -> Any:
    """Neighbours that vote with the cosine of their distance: far ones against what they saw, so some shares leave
    the range from 0 to 1."""
    import numpy as np
    from sklearn.neighbors import KNeighborsClassifier

    return _take_numbers(KNeighborsClassifier(40, weights=np.cos, algorithm="brute"), "hour", "recent_delay")
