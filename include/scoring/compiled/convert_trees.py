"""Fitted trees, forests and boosted trees to stored trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from include.scoring.compiled.convert_columns import convert_transformer
from include.scoring.compiled.convert_parts import SomeColumn, check_columns, refuse_conversion
from include.scoring.compiled.document import CategoryColumn, ModelColumn, Tree, Trees, read_number
from include.scoring.compiled.trees import MAX_NODES


class _Nodes:
    """One tree's nodes as arrays; ``value`` counts in leaves, whose ``left`` is negative."""

    def __init__(self, left: Any, right: Any, feature: Any, threshold: Any, missing_left: Any, value: Any) -> None:
        self.left = np.asarray(left, dtype=np.int64)
        self.right = np.asarray(right, dtype=np.int64)
        self.feature = np.asarray(feature, dtype=np.int64)
        self.threshold = np.asarray(threshold, dtype=np.float64)
        self.missing_left = np.asarray(missing_left, dtype=bool)
        self.value = np.asarray(value, dtype=np.float64)


def convert_trees(estimator: Any, columns: Sequence[SomeColumn], sparse: bool) -> tuple[list[ModelColumn], Trees]:
    """The columns and the trees of a fitted estimator of TREE_MODELS; ``sparse`` says that it is given sparse rows."""
    return TREE_MODELS[type(estimator)](estimator, columns, sparse)


def _convert_forest(forest: Any, columns: Sequence[SomeColumn], sparse: bool) -> tuple[list[ModelColumn], Trees]:
    trees = getattr(forest, "estimators_", [forest])
    made = [_read_tree(tree.tree_, tree.tree_.value[:, 0, 1]) for tree in trees]
    return check_columns(columns), Trees(
        trees=_store(made),
        start=0.0,
        divisor=float(len(trees)),
        logistic=False,
        single_precision=True,
        takes_missing=not sparse and bool(trees[0]._support_missing_values(np.zeros((1, 1)))),
    )


def _convert_gradient_boosting(
    boosting: Any, columns: Sequence[SomeColumn], sparse: bool
) -> tuple[list[ModelColumn], Trees]:
    del sparse
    if boosting.loss != "log_loss" or not (boosting.init_ == "zero" or type(boosting.init_) is DummyClassifier):
        raise refuse_conversion("its boosting starts from a model of its own, or has another loss")
    rate = boosting.learning_rate
    trees = [_read_tree(tree.tree_, rate * tree.tree_.value[:, 0, 0]) for tree in boosting.estimators_[:, 0]]
    start = boosting._raw_predict_init(np.zeros((1, boosting.n_features_in_), dtype=np.float32))
    return check_columns(columns), Trees(
        trees=_store(trees),
        start=float(start[0, 0]),
        divisor=1.0,
        logistic=True,
        single_precision=True,
        takes_missing=False,
    )


def _read_tree(tree: Any, value: NDArray[np.float64]) -> _Nodes:
    missing_left = tree.__getstate__()["nodes"]["missing_go_to_left"]
    return _Nodes(tree.children_left, tree.children_right, tree.feature, tree.threshold, missing_left, value)


def _convert_hist_boosting(
    boosting: Any, columns: Sequence[SomeColumn], sparse: bool
) -> tuple[list[ModelColumn], Trees]:
    del sparse
    if boosting._preprocessor is not None:
        # Its own encoder puts the categories first; what it does with the numbers is a check.
        chosen = boosting.is_categorical_.tolist()
        encoded = [column for column, is_category in zip(columns, chosen, strict=True) if is_category]
        numbers = [column for column, is_category in zip(columns, chosen, strict=True) if not is_category]
        columns = [*convert_transformer(boosting._preprocessor.named_transformers_["encoder"], encoded), *numbers]
    made = check_columns(columns)
    known, places = boosting._bin_mapper.make_known_categories_bitsets()
    added: dict[tuple[int, bytes, bool], int] = {}
    trees = []
    for (predictor,) in boosting._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        feature, threshold = nodes["feature_idx"].astype(np.int64), nodes["num_threshold"].copy()
        for place in np.flatnonzero(~leaf & nodes["is_categorical"].astype(bool)):
            # A split by categories becomes a column of its own that says which side, so that every split is by number.
            column, missing_left = int(feature[place]), bool(nodes["missing_go_to_left"][place])
            left = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][place]]
            key = (column, left.tobytes(), missing_left)
            if key not in added:
                added[key] = len(made)
                made.append(_make_side(made[column], left, known[places[column]], missing_left))
            feature[place], threshold[place] = added[key], 0.5
        left_child = np.where(leaf, -1, nodes["left"].astype(np.int64))
        missing = nodes["missing_go_to_left"]
        trees.append(_Nodes(left_child, nodes["right"], feature, threshold, missing, nodes["value"]))
    return made, Trees(
        trees=_store(trees),
        start=float(boosting._baseline_prediction[0, 0]),
        divisor=1.0,
        logistic=True,
        single_precision=False,
        takes_missing=True,
    )


def _make_side(
    column: ModelColumn, left: NDArray[np.uint32], known: NDArray[np.uint32], missing_left: bool
) -> CategoryColumn:
    """A column that is 0 for the categories that a split sends left, and 1 for the others."""
    if not isinstance(column, CategoryColumn):
        raise refuse_conversion("it splits a number by categories")

    def choose(code: float | None) -> float:
        number = read_number(code)
        if math.isnan(number) or number < 0 or not (_holds(left, number) or _holds(known, number)):
            return 0.0 if missing_left else 1.0
        return 0.0 if _holds(left, number) else 1.0

    return msgspec.structs.replace(
        column,
        values=[choose(code) for code in column.values],
        missing=choose(column.missing),
        unknown=choose(column.unknown),
    )


def _holds(bits: NDArray[np.uint32], number: float) -> bool:
    code = int(number)
    return bool(bits[code // 32] >> np.uint32(code % 32) & np.uint32(1))


def _store(trees: Sequence[_Nodes]) -> list[msgspec.Raw]:
    if sum(len(tree.left) for tree in trees) > MAX_NODES:
        raise refuse_conversion(f"its trees have more than {MAX_NODES} nodes")
    return [msgspec.Raw(msgspec.json.encode(_arrange(tree))) for tree in trees]


def _arrange(nodes: _Nodes) -> Tree:
    """Nodes level by level, so that the children of each stand side by side behind it."""
    level = np.zeros(1, dtype=np.int64)
    order = [level]
    while len(level := level[nodes.left[level] >= 0]):
        level = np.column_stack([nodes.left[level], nodes.right[level]]).ravel()
        order.append(level)
    old = np.concatenate(order)
    new = np.empty(len(nodes.left), dtype=np.int64)
    new[old] = np.arange(len(old))
    leaf = nodes.left[old] < 0
    threshold = np.where(leaf, nodes.value[old], nodes.threshold[old])
    return Tree(
        feature=np.where(leaf, -1, nodes.feature[old]).tolist(),
        # An infinite threshold, of a split into missing and present, is null.
        threshold=[value if math.isfinite(value) else None for value in threshold.tolist()],
        left=np.where(leaf, 0, new[nodes.left[old]]).tolist(),
        missing_left=nodes.missing_left[old].tolist(),
    )


TREE_MODELS: dict[type, Callable[[Any, Sequence[SomeColumn], bool], tuple[list[ModelColumn], Trees]]] = {
    DecisionTreeClassifier: _convert_forest,
    ExtraTreeClassifier: _convert_forest,
    RandomForestClassifier: _convert_forest,
    ExtraTreesClassifier: _convert_forest,
    GradientBoostingClassifier: _convert_gradient_boosting,
    HistGradientBoostingClassifier: _convert_hist_boosting,
}
