"""Three ways to walk trees, one answer; and files that would lead a walk astray are refused."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from include.errors import CompiledFormRefused
from include.scoring.compiled.bit_vectors import BitVectors, fits_bit_vectors
from include.scoring.compiled.document import Tree
from include.scoring.compiled.native import build_native_walk
from include.scoring.compiled.trees import TreeWalk, read_trees
from tests.unit.scoring.compiled.trees import make_tree, store, walk

POOL: list[float | None] = [-1.5, -0.0, 0.0, 0.5, 0.5, 1e308, 5e-324, -1e-300, None]
VALUES = [
    -1.5,
    -0.0,
    0.0,
    0.5,
    math.nextafter(0.5, 1),
    math.nextafter(0.5, 0),
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
]


@pytest.mark.parametrize("splits, trees", [(0, 1), (1, 3), (30, 20), (63, 4), (64, 4), (400, 3)])
def test_every_walk_finds_the_leaf_that_a_plain_one_finds(splits: int, trees: int, library: Path) -> None:
    random = np.random.default_rng(splits)
    columns = 7
    made = [make_tree(random, splits, columns, POOL) for _ in range(trees)]
    order = random.permutation(columns)
    table = read_trees(store(*made), 0.25, order.tolist())
    rows = random.choice(VALUES, (1100, columns))
    expected = [0.25 + sum(walk(tree, row) for tree in made) for row in rows]
    ours = np.empty_like(rows)
    ours[:, order] = rows
    ways = [TreeWalk(table, columns), build_native_walk(library, table, columns)]
    assert fits_bit_vectors(table) == (splits < 64)
    if splits < 64:
        ways.append(BitVectors(table))
    for way in ways:
        # Few rows may be walked otherwise than many.
        for count in (500, len(rows)):
            np.testing.assert_allclose(way.sum_rows(ours[:count]), expected[:count], rtol=0, atol=1e-12)
        np.testing.assert_allclose([way.sum_row(row) for row in ours.tolist()], expected, rtol=0, atol=1e-12)
        assert len(way.sum_rows(ours[:0])) == 0


def test_many_trees_are_left_to_the_walk_whose_memory_does_not_grow_with_their_square() -> None:
    random = np.random.default_rng(1)
    table = read_trees(store(*[make_tree(random, 30, 3, POOL)] * 400), 0.0, [0, 1, 2])
    assert not fits_bit_vectors(table)


GOOD = Tree([0, -1, -1], [0.5, 1.0, 2.0], [1, 0, 0], [True, False, False])


@pytest.mark.parametrize(
    "changes",
    [
        {"feature": [2, -1, -1]},  # a column that is not there
        {"feature": [-2, -1, -1]},
        {"feature": [2**31, -1, -1]},
        {"feature": [2**70, -1, -1]},
        {"left": [0, 0, 0]},  # itself: a walk without end
        {"left": [2, 0, 0]},  # beyond the last node
        {"left": [-1, 0, 0]},
        {"left": [2**62, 0, 0]},
        {"left": [1, 0]},
        {"threshold": [0.5, None, 2.0]},  # a leaf without a value
        {"missing_left": [True]},
        {"feature": [0, 0, -1], "left": [1, 1, 0]},  # a loop between two nodes
        {"feature": [-1, -1, -1]},  # nodes that nothing leads to
        {"feature": [], "threshold": [], "left": [], "missing_left": []},
        {"feature": ["0", -1, -1]},
        {"left": [1.5, 0, 0]},
    ],
)
def test_a_tree_that_leads_astray_is_refused(changes: dict[str, list[object]]) -> None:
    read_trees(store(GOOD), 0.0, [0, 1])
    bad = msgspec.json.encode(list({**msgspec.structs.asdict(GOOD), **changes}.values()))
    with pytest.raises(CompiledFormRefused, match="tree 1"):
        read_trees([*store(GOOD), msgspec.Raw(bad)], 0.0, [0, 1])


def test_a_node_with_two_parents_is_refused() -> None:
    """Every leaf is below one branch only; otherwise its bits, and the time to number them, would grow without end."""
    shared = Tree([0, 0, 0, -1, -1], [0.1, 0.2, 0.3, 1.0, 2.0], [1, 3, 3, 0, 0], [True] * 5)
    with pytest.raises(CompiledFormRefused, match="not there"):
        read_trees(store(shared), 0.0, [0])


def test_no_trees_and_paths_without_end_are_refused() -> None:
    with pytest.raises(CompiledFormRefused, match="no trees"):
        read_trees([], 0.0, [0])
    depth = 300
    feature = [0 if node % 2 == 0 and node < 2 * depth else -1 for node in range(2 * depth + 1)]
    left = [node + 1 if at == 0 else 0 for node, at in enumerate(feature)]
    chain = Tree(feature, [0.5] * len(feature), left, [True] * len(feature))
    with pytest.raises(CompiledFormRefused, match="longer"):
        read_trees(store(chain), 0.0, [0])
