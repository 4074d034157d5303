"""The transformer: frames of any usual types in, features in declared order out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from include.errors import TerminalError
from include.scoring.row_features import RowFeatures
from tests.unit.scoring.factory import FEATURES, make_requests, make_row_features


def test_features_come_in_declared_order_and_types() -> None:
    requests = make_requests().set_index(pd.Index(range(1000, 1200)))
    features = make_row_features().transform(requests)
    assert list(features.columns) == [feature.name for feature in FEATURES]
    assert features.index.equals(requests.index)
    for feature in FEATURES:
        assert features[feature.name].dtype == (np.float64 if feature.kind == "number" else object)


@pytest.mark.parametrize("types", [{"year": "int64"}, {"year": "Int64"}, {"year": "float32"}, {"carrier": "category"},
                                   {"carrier": "str", "tail": "string"}, {"hours": "object"}])  # fmt: skip
def test_the_type_a_frame_happens_to_have_does_not_matter(types: dict[str, str]) -> None:
    requests = make_requests()
    expected = make_row_features().transform(requests)
    pd.testing.assert_frame_equal(make_row_features().transform(requests.astype(types)), expected)


def test_an_absent_optional_column_equals_a_column_of_nulls() -> None:
    requests = make_requests()
    nulls = requests.assign(tail=None, hours=np.nan)
    pd.testing.assert_frame_equal(
        make_row_features().transform(requests.drop(columns=["tail", "hours"])), make_row_features().transform(nulls)
    )


@pytest.mark.parametrize(
    ("column", "value"), [("hours", "secret"), ("carrier", 4711), ("distance", np.inf), ("carrier", True)]
)
def test_a_wrong_value_names_the_column_and_does_not_echo_the_value(column: str, value: object) -> None:
    requests = make_requests(rows=2).astype({column: object})
    requests.loc[1, column] = value
    with pytest.raises(TerminalError, match=column) as caught:
        make_row_features().transform(requests)
    assert str(value) not in str(caught.value)


def test_its_state_is_two_texts_even_after_use() -> None:
    """What is stored in a model is the declaration, not what was derived from it."""
    used = make_row_features()
    used.transform(make_requests())
    assert set(used.__getstate__()) == {"features_json", "tables_json"}
    pd.testing.assert_frame_equal(clone(used).transform(make_requests()), used.transform(make_requests()))


@pytest.mark.parametrize("text", ["nonsense", '[{"name": "x"}]', '[{"name": "x", "expression": {"type": "system"}}]'])
def test_features_that_are_not_expressions_are_refused(text: str) -> None:
    with pytest.raises(TerminalError, match="features of a model cannot be read"):
        RowFeatures(text, "{}").fit()
