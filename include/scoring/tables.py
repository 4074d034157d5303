"""Reference tables stored inside a model: plain JSON, found by a text key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from include.errors import TerminalError

T = TypeVar("T")


class StoredTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table as it is stored: ``keys`` are the values of the column ``key``; each column is as long as they are."""

    key: str
    keys: list[str]
    columns: dict[str, list[float | str | None]]


class LookupTable:
    """A table ready for lookups. Row ``len(keys)`` is the row of a key that is not there: missing in every column."""

    def __init__(self, name: str, stored: StoredTable) -> None:
        self.name = name
        self._rows = {key: row for row, key in enumerate(stored.keys)}
        if len(self._rows) != len(stored.keys):
            raise _wrong_table(name, f"its key {stored.key} is not unique")
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._texts: dict[str, NDArray[Any]] = {}
        for column, values in stored.columns.items():
            if len(values) != len(stored.keys):
                raise _wrong_table(name, f"its column {column} has {len(values)} values for {len(stored.keys)} keys")
            numbers = [math.nan if value is None else value for value in values if not isinstance(value, str)]
            texts = [value for value in values if not isinstance(value, float)]
            # A column without any value is both; one that mixes numbers and text is neither.
            if len(numbers) == len(values):
                self._numbers[column] = np.array([*numbers, math.nan], dtype=np.float64)
            if len(texts) == len(values):
                self._texts[column] = np.array([*texts, None], dtype=object)

    def find_rows(self, keys: NDArray[Any]) -> NDArray[np.int64]:
        """Row number of each key (``object`` array of str and None); the missing row for None and unknown keys."""
        missing = len(self._rows)
        find = self._rows.get
        return np.fromiter((find(key, missing) for key in keys.tolist()), dtype=np.int64, count=len(keys))

    def get_numbers(self, column: str) -> NDArray[np.float64]:
        """The values of a number column, the missing row last. Raises TerminalError when there is no such column."""
        return self._get(self._numbers, column, "numbers")

    def get_texts(self, column: str) -> NDArray[Any]:
        """The values of a text column, the missing row last. Raises TerminalError when there is no such column."""
        return self._get(self._texts, column, "text")

    def list_numbers(self, column: str) -> dict[str | None, float]:
        """The values of a number column by key. Raises TerminalError when there is no such column."""
        return dict(zip(self._rows, self.get_numbers(column).tolist(), strict=False))

    def list_texts(self, column: str) -> dict[str | None, str | None]:
        """The values of a text column by key. Raises TerminalError when there is no such column."""
        return dict(zip(self._rows, self.get_texts(column).tolist(), strict=False))

    def _get(self, columns: dict[str, NDArray[Any]], column: str, kind: str) -> NDArray[Any]:
        try:
            return columns[column]
        except KeyError:
            raise _wrong_table(self.name, f"it has no column {column} of {kind}") from None


def decode_part(stored: str | bytes, kind: type[T], part: str) -> T:
    """Read one of a model's JSON texts; ``part`` names it. Raises TerminalError when it is not of ``kind``."""
    try:
        return msgspec.json.decode(stored, type=kind)
    except msgspec.MsgspecError as error:
        raise TerminalError(
            f"The {part} of a model cannot be read: {error}.",
            next_step=f"Train again; the {part} are written by the training.",
            reason=str(error),
        ) from error


def read_stored_tables(stored: Mapping[str, StoredTable]) -> dict[str, LookupTable]:
    """Make tables ready for lookups. Raises TerminalError naming what does not fit."""
    return {name: LookupTable(name, table) for name, table in stored.items()}


def decode_tables(tables_json: str | bytes) -> dict[str, StoredTable]:
    """Decode tables from JSON, ``{"planes": {"key": "tailnum", "keys": [...], "columns": {"seats": [...]}}}``.

    Raises TerminalError naming what does not fit.
    """
    return decode_part(tables_json, dict[str, StoredTable], "reference tables")


def read_tables(tables_json: str | bytes) -> dict[str, LookupTable]:
    """Decode tables and make them ready for lookups. Raises TerminalError naming what does not fit."""
    return read_stored_tables(decode_tables(tables_json))


def _wrong_table(name: str, problem: str) -> TerminalError:
    return TerminalError(
        f"The reference table {name!r} cannot be used: {problem}.",
        next_step="Correct the reference's load function or the feature that reads it, and train again.",
        table=name,
        problem=problem,
    )
