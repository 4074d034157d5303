"""The stored form of a compiled scorer: JSON of numbers and names, read with limits because it is untrusted.

It says what a model does, from the request to the probability: the row features, one entry for each column of the
model's input matrix, and the model. Each column is a function of one feature, so what any chain of scikit-learn's
encoders, imputers and scalers makes has this form. Null stands for a number that JSON cannot write: NaN, or an
infinite threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Union

import msgspec

from include.errors import CompiledFormRefused
from include.scoring.expressions import Feature
from include.scoring.tables import StoredTable

FILE_NAME = "scorer.json"
FORMAT = 1
# Far above what the built-in recipes make (0.5 MB); a file above it would cost the serving process its memory bound.
MAX_BYTES = 64 * 1024 * 1024
MAX_COLUMNS = 10_000
# Cells of the tables that turn categories into columns, all together: 16 MB of numbers.
MAX_CELLS = 2_000_000
# Features nest as far as a person writes them; each level is a Python call for each row.
_MAX_DEPTH = 50
_MAX_STEPS = 50

Operation = Literal["fill", "subtract", "divide", "multiply", "add", "at_least", "at_most", "is_missing"]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One operation on a number: ``fill`` replaces NaN, ``at_least`` and ``at_most`` clip, ``is_missing`` is 1 or 0."""

    operation: Operation
    by: float = 0.0


class NumberColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="number"):
    """A column that is a number feature after ``steps``, in order."""

    feature: int
    steps: tuple[Step, ...] = ()


class CategoryColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="category"):
    """A column that maps the categories of a feature to numbers, each of ``keys`` to the one of ``values``.

    The keys are texts for a category feature; for a number feature they are numbers, compared after ``steps``.
    ``missing`` is the number of a missing feature, ``unknown`` that of every other one.
    """

    feature: int
    keys: list[str | float]
    values: list[float | None]
    missing: float | None
    unknown: float | None
    steps: tuple[Step, ...] = ()


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A decision tree, node by node; a node's children follow it, side by side.

    A node with a ``feature`` (a matrix column) sends x to ``left`` when x <= threshold, else to ``left`` + 1, and NaN
    to ``left`` where ``missing_left``. A leaf has the feature −1 and its value in ``threshold``.
    """

    feature: list[int]
    threshold: list[float | None]
    left: list[int]
    missing_left: list[bool]


class Trees(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="trees"):
    """``start`` plus the value of every tree, divided by ``divisor``; through the logistic function where ``logistic``.

    ``single_precision``: the matrix is rounded to 32-bit floats first, as scikit-learn's forests do, and refused where
    that overflows. ``takes_missing``: NaN is an answerable value.
    """

    # Each is read by itself: a forest as Python lists, all at once, would take ten times the memory of its arrays.
    trees: list[msgspec.Raw]
    start: float
    divisor: float
    logistic: bool
    single_precision: bool
    takes_missing: bool


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear"):
    """The logistic function of ``intercept`` plus the weighted columns."""

    weights: list[float]
    intercept: float


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="constant"):
    """The same probability for every row."""

    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]


ModelColumn = Union[NumberColumn, CategoryColumn]
Model = Union[Trees, Linear, Constant]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a request's probability depends on."""

    format: int
    features: tuple[Feature, ...]
    tables: dict[str, StoredTable]
    columns: tuple[ModelColumn, ...]
    model: Model


def read_document(content: bytes) -> Document:
    """Read and check a stored scorer. Raises CompiledFormRefused with the reason.

    Trees are checked later, by ``read_trees``; expressions and tables when the features are bound.
    """
    if len(content) > MAX_BYTES:
        raise _refuse(f"it has {len(content)} bytes; the most that is read is {MAX_BYTES}")
    try:
        document = msgspec.json.decode(content, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refuse(f"it is not such a file ({error})") from error
    if document.format != FORMAT:
        raise _refuse(f"it has format {document.format}; this version of Tollgate reads {FORMAT}")
    if not document.features or len(document.columns) > MAX_COLUMNS:
        raise _refuse(f"it has {len(document.features)} features and {len(document.columns)} columns")
    for feature in document.features:
        if feature.kind not in ("number", "category") or _measure_depth(feature.expression) > _MAX_DEPTH:
            raise _refuse(f"its feature {feature.name!r} is of no known kind, or is nested too deeply")
    for column in document.columns:
        _check_column(document, column)
    model = document.model
    if isinstance(model, Linear) and len(model.weights) != len(document.columns):
        raise _refuse(f"its model has {len(model.weights)} weights for {len(document.columns)} columns")
    if isinstance(model, Trees) and model.divisor <= 0:
        raise _refuse(f"it divides the sum of its trees by {model.divisor}")
    return document


def read_file(path: Path) -> Document:
    """Read a stored scorer from a file. Raises CompiledFormRefused, also when it is no readable file."""
    try:
        # The limit is met before the content is in memory.
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refuse(f"it cannot be read ({error.strerror})") from error
    return read_document(content)


def write_document(document: Document) -> bytes:
    """The JSON of a document. Raises CompiledFormRefused when reading it again would refuse it."""
    try:
        content = msgspec.json.encode(document)
    except UnicodeEncodeError as error:
        raise _refuse("a category or name in it is not valid text") from error
    read_document(content)
    return content


def read_number(value: float | None) -> float:
    """A number whose null is NaN."""
    return math.nan if value is None else value


def _check_column(document: Document, column: ModelColumn) -> None:
    if not 0 <= column.feature < len(document.features):
        raise _refuse(f"a column of it reads feature number {column.feature}, which it does not have")
    kind = document.features[column.feature].kind
    if len(column.steps) > _MAX_STEPS or any(step.operation == "divide" and step.by == 0 for step in column.steps):
        raise _refuse(f"a column of it divides by zero, or takes more than {_MAX_STEPS} steps")
    if isinstance(column, NumberColumn):
        if kind != "number":
            raise _refuse(f"a column of it takes the category {document.features[column.feature].name!r} as a number")
        return
    if len(column.keys) != len(column.values) or len(set(column.keys)) != len(column.keys):
        raise _refuse("a column of it maps categories that are not unique, or not each to one number")
    wanted = float if kind == "number" else str
    if not all(type(key) is wanted for key in column.keys) or (kind == "category" and column.steps):
        raise _refuse("a column of it has categories of another kind than its feature")


def _measure_depth(expression: msgspec.Struct) -> int:
    children: Iterable[object] = (getattr(expression, field) for field in expression.__struct_fields__)
    return 1 + max((_measure_depth(child) for child in children if isinstance(child, msgspec.Struct)), default=0)


def _refuse(problem: str) -> CompiledFormRefused:
    return CompiledFormRefused(
        f"The compiled scorer cannot be used: {problem}.",
        next_step="The scikit-learn model beside it serves; train again for a compiled one.",
        reason=problem,
    )
