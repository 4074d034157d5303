"""Decision trees as arrays, checked so that no walk can leave them or go round for ever, and the plain numpy walk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from include.errors import CompiledFormRefused
from include.scoring.compiled.document import Tree

# Fully grown forests of large training sets; what is above stays with scikit-learn.
MAX_NODES = 1_000_000
# How far apart the nodes of one path may be: above what scikit-learn grows on any data that fits this machine.
_MAX_LEVELS = 200
# A node's feature says where NaN goes, too: this bit is set where it goes right.
MISSING_RIGHT = 1 << 30
# Also the layout of `Node` in walk_trees.c.
NODE = np.dtype([("threshold", "<f8"), ("feature", "<i4"), ("child", "<i4")])
_MAX_STATES = 20_000  # row × tree pairs walked at once: their arrays stay in the processor's cache
# From here on, tree by tree: one tree's nodes stay in the cache, those of a forest do not. Ten thousand rows in 50
# fully grown trees take half as long; a hundred would take twice as long.
_MANY_ROWS = 1_000
_ROWS_OF_TREE = 4_000
_LEVELS_AT_ONCE = 4

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class TreeTable:
    """All nodes of all trees. ``nodes`` has NODE's layout: a leaf has the feature −1 and its value as threshold; the
    others hold the place of their left child, the right one follows it. ``levels`` is the longest path's."""

    nodes: NDArray[np.void]
    roots: NDArray[np.int32]
    leaves: tuple[int, ...]
    levels: int
    start: float


def read_trees(stored: Sequence[msgspec.Raw], start: float, order: Sequence[int]) -> TreeTable:
    """Read and check the trees. ``order[i]`` is the place where column ``i`` of the stored matrix stands in ours.

    Raises CompiledFormRefused when a node names a column or a child that is not there.
    """
    decoder = msgspec.json.Decoder(Tree)
    places = np.asarray(order, dtype=np.int64)
    made, roots, leaves, levels, count = [], [], [], 0, 0
    for number, raw in enumerate(stored):
        try:
            nodes, depth = _check_tree(decoder.decode(raw), places)
        except (msgspec.MsgspecError, OverflowError, ValueError) as error:
            raise _refuse(f"tree {number} is not one ({error})") from error
        nodes["child"] += count
        roots.append(count)
        leaves.append(int((nodes["feature"] < 0).sum()))
        levels = max(levels, depth)
        count += len(nodes)
        if count > MAX_NODES:
            raise _refuse(f"its trees have more than {MAX_NODES} nodes")
        made.append(nodes)
    if not made:
        raise _refuse("it has no trees")
    return TreeTable(np.concatenate(made), np.array(roots, dtype=np.int32), tuple(leaves), levels, start)


def _check_tree(tree: Tree, places: NDArray[np.int64]) -> tuple[NDArray[np.void], int]:
    feature = np.array(tree.feature, dtype=np.int64)
    left = np.array(tree.left, dtype=np.int64)
    threshold = np.array([math.inf if value is None else value for value in tree.threshold], dtype=np.float64)
    missing_left = np.array(tree.missing_left, dtype=bool)
    size = len(feature)
    if size == 0 or not size == len(left) == len(threshold) == len(missing_left):
        raise ValueError("its lists are empty, or not equally long")
    inner = feature >= 0
    here = np.arange(size)
    # A child stands behind its parent, so every walk ends; and has one parent, so the paths form a tree.
    children = np.concatenate([left[inner], left[inner] + 1])
    if (
        (feature < -1).any()
        or (feature >= len(places)).any()
        or (left[inner] <= here[inner]).any()
        or not np.array_equal(np.sort(children), np.arange(1, size))
        or not np.isfinite(threshold[~inner]).all()
    ):
        raise ValueError("a node of it names a column or a child that is not there, or a leaf has no value")
    nodes = np.zeros(size, dtype=NODE)
    nodes["threshold"] = threshold
    nodes["child"] = np.where(inner, left, 0)
    nodes["feature"] = np.where(
        inner, places[np.where(inner, feature, 0)] | np.where(missing_left, 0, MISSING_RIGHT), -1
    )
    return nodes, _count_levels(inner, left)


def _count_levels(inner: NDArray[np.bool_], left: NDArray[np.int64]) -> int:
    level = np.zeros(1, dtype=np.int64)
    for depth in range(_MAX_LEVELS):
        parents = level[inner[level]]
        if not len(parents):
            return depth
        level = np.concatenate([left[parents], left[parents] + 1])
    raise ValueError(f"its paths are longer than {_MAX_LEVELS}")


class TreeWalk:
    """The sums of trees of any size, with numpy alone: level by level, all trees at once or, for many rows, in turn."""

    def __init__(self, table: TreeTable, width: int) -> None:
        nodes, inner = table.nodes, table.nodes["feature"] >= 0
        feature = nodes["feature"].astype(np.intp)
        column = feature & (MISSING_RIGHT - 1)
        # x <= threshold is false for NaN, which then goes right; what goes left reads a copy where NaN is -inf.
        self._column = np.where(inner & (feature & MISSING_RIGHT == 0), column + width, np.where(inner, column, width))
        # A leaf is its own left child, and everything is at most infinite: the walk stays there.
        self._threshold = np.where(inner, nodes["threshold"], np.inf)
        self._child = np.where(inner, nodes["child"], np.arange(len(nodes))).astype(np.intp)
        self._value = nodes["threshold"].copy()
        self._inner = inner
        self._roots = table.roots.astype(np.intp)
        self._levels = table.levels
        self._start = table.start

    def sum_rows(self, matrix: Matrix) -> Matrix:
        """The sum of each row's leaves."""
        # Twice as wide: see the copy without NaN above.
        values = np.concatenate([matrix, np.where(np.isnan(matrix), -np.inf, matrix)], axis=1)
        return self._start + (self._walk_in_turn(values) if len(matrix) >= _MANY_ROWS else self._walk_at_once(values))

    def _walk_at_once(self, values: Matrix) -> Matrix:
        rows, width = values.shape
        trees = len(self._roots)
        sums = np.empty(rows)
        step = max(1, _MAX_STATES // trees)
        for begin in range(0, rows, step):
            end = min(begin + step, rows)
            node = np.tile(self._roots, end - begin)
            offset = np.repeat(np.arange(begin, end) * width, trees)
            for _ in range(self._levels):
                node = self._descend(node, offset, values)
            sums[begin:end] = self._value.take(node).reshape(end - begin, trees).sum(axis=1)
        return sums

    def _walk_in_turn(self, values: Matrix) -> Matrix:
        rows, width = values.shape
        sums = np.zeros(rows)
        for begin in range(0, rows, _ROWS_OF_TREE):
            end = min(begin + _ROWS_OF_TREE, rows)
            for root in self._roots.tolist():
                sums[begin:end] += self._value.take(self._find_leaves(root, np.arange(begin, end) * width, values))
        return sums

    def _find_leaves(self, root: int, offset: NDArray[np.intp], values: Matrix) -> NDArray[np.intp]:
        """Where the rows, each of which begins at its ``offset``, end in one tree."""
        leaves = np.full(len(offset), root, dtype=np.intp)
        rows, node = np.arange(len(offset)), leaves
        while len(rows):
            for _ in range(_LEVELS_AT_ONCE):
                node = self._descend(node, offset, values)
            leaves[rows] = node
            # Most leaves are far above the deepest: a row that has arrived walks no further.
            moving = np.flatnonzero(self._inner.take(node))
            rows, offset, node = rows.take(moving), offset.take(moving), node.take(moving)
        return leaves

    def _descend(self, node: NDArray[np.intp], offset: NDArray[np.intp], values: Matrix) -> NDArray[np.intp]:
        """One level down, or where they are for those at a leaf."""
        place = self._column.take(node)
        place += offset
        right = ~(values.take(place) <= self._threshold.take(node))
        below: NDArray[np.intp] = self._child.take(node)
        below += right
        return below

    def sum_row(self, values: Sequence[float]) -> float:
        """The sum of one row's leaves."""
        return float(self.sum_rows(np.array([values]))[0])


def _refuse(problem: str) -> CompiledFormRefused:
    return CompiledFormRefused(
        f"The compiled scorer cannot be used: {problem}.",
        next_step="The scikit-learn model beside it serves; train again for a compiled one.",
        reason=problem,
    )
