"""Random stored trees, and the plainest possible walk through them."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from include.scoring.compiled.document import Tree


def make_tree(random: np.random.Generator, splits: int, columns: int, pool: list[float | None]) -> Tree:
    """A tree that grows by splitting random leaves, its thresholds from ``pool`` (None is infinite)."""
    children: dict[int, tuple[int, int]] = {}
    leaves, made = [0], 1
    for _ in range(splits):
        parent = leaves.pop(int(random.integers(len(leaves))))
        children[parent] = (made, made + 1)
        leaves += [made, made + 1]
        made += 2
    order, place = [0], {}
    for node in order:  # grows while it is read: level by level
        order.extend(children.get(node, ()))
    place = {node: position for position, node in enumerate(order)}
    inner = [node in children for node in order]
    return Tree(
        feature=[int(random.integers(columns)) if is_inner else -1 for is_inner in inner],
        threshold=[pool[int(random.integers(len(pool)))] if is_inner else float(random.normal()) for is_inner in inner],
        left=[place[children[node][0]] if node in children else 0 for node in order],
        missing_left=[bool(random.integers(2)) for _ in order],
    )


def store(*trees: Tree) -> list[msgspec.Raw]:
    return [msgspec.Raw(msgspec.json.encode(tree)) for tree in trees]


def walk(tree: Tree, row: Any) -> float:
    """The leaf of one row, in so many words."""
    node = 0
    while tree.feature[node] >= 0:
        value, threshold = row[tree.feature[node]], tree.threshold[node]
        goes_left = tree.missing_left[node] if math.isnan(value) else threshold is None or value <= threshold
        node = tree.left[node] + (0 if goes_left else 1)
    leaf = tree.threshold[node]
    assert leaf is not None
    return leaf
