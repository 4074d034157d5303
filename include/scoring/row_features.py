"""Raw requests to model inputs as a scikit-learn transformer whose whole state is two JSON texts."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from include.errors import TerminalError
from include.scoring.evaluate import evaluate_features, find_column_kinds
from include.scoring.expressions import Feature
from include.scoring.tables import LookupTable, decode_part, read_tables


class RowFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Evaluates declared features: request columns in, one column per feature out, in declared order.

    ``features_json`` is a list of ``Feature`` as msgspec writes it; ``tables_json`` as ``read_tables`` takes it. There
    is nothing to fit. A request column that is absent, or null, is missing; columns that no feature reads are ignored.
    """

    def __init__(self, features_json: str = "[]", tables_json: str = "{}") -> None:
        self.features_json = features_json
        self.tables_json = tables_json

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The declared features. Raises TerminalError when ``features_json`` is not a list of features."""
        return decode_part(self.features_json, tuple[Feature, ...], "features")

    @cached_property
    def tables(self) -> dict[str, LookupTable]:
        """The reference tables, ready for lookups."""
        return read_tables(self.tables_json)

    @cached_property
    def column_kinds(self) -> dict[str, str]:
        """The request columns that the features read: name to "number" or "string"."""
        return find_column_kinds(self.features)

    def fit(self, requests: pd.DataFrame | None = None, y: object = None) -> Self:
        """Nothing is learned here; the declaration is read, so that a mistake in it shows now."""
        del requests, y
        _ = self.features, self.tables, self.column_kinds
        return self

    def transform(self, requests: pd.DataFrame) -> pd.DataFrame:
        """Return the features of each request, aligned with its rows: numbers ``float64``, categories ``object``.

        Raises TerminalError naming the column whose values are not of the type that the features need.
        """
        columns = read_columns(requests, self.column_kinds)
        values = evaluate_features(self.features, self.tables, columns, rows=len(requests))
        # An explicit object type keeps text as str and None; pandas would infer a type that scikit-learn copies.
        return pd.DataFrame(
            {
                name: pd.Series(array, index=requests.index, dtype=array.dtype, copy=False)
                for name, array in values.items()
            },
            copy=False,
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[Any]:
        """Names of the features, in order."""
        del input_features
        return np.array([feature.name for feature in self.features], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        # What is derived from the two texts is rebuilt where the model is loaded, so the stored model is plain data.
        return {"features_json": self.features_json, "tables_json": self.tables_json}


def read_columns(requests: pd.DataFrame, kinds: dict[str, str]) -> dict[str, NDArray[Any]]:
    """Return the columns of ``requests`` named in ``kinds`` as the evaluator takes them; absent ones are left out."""
    return {
        name: _read_numbers(name, requests[name]) if kind == "number" else _read_texts(name, requests[name])
        for name, kind in kinds.items()
        if name in requests.columns
    }


def _read_numbers(name: str, values: pd.Series[Any]) -> NDArray[np.float64]:
    if values.dtype == np.float64:
        numbers: NDArray[np.float64] = values.to_numpy()
    elif pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=math.nan)
    else:
        present = values[values.notna()]
        if not all(isinstance(value, int | float | np.number) for value in present):
            raise _wrong_values(name, "numbers")
        numbers = values.astype(object).where(values.notna(), math.nan).to_numpy(dtype=np.float64)
    if np.isinf(numbers).any():
        raise _wrong_values(name, "finite numbers")
    return numbers


def _read_texts(name: str, values: pd.Series[Any]) -> NDArray[Any]:
    texts = values.to_numpy(dtype=object, copy=True)
    texts[values.isna().to_numpy()] = None
    if not all(value is None or isinstance(value, str) for value in texts.tolist()):
        raise _wrong_values(name, "text")
    return texts


def _wrong_values(column: str, wanted: str) -> TerminalError:
    # The values stay out of the message: they belong to a caller.
    return TerminalError(
        f"The request column {column!r} holds something else than {wanted}.",
        next_step=f"Send {wanted}, or null for missing.",
        column=column,
    )
