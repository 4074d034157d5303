"""The leakage probe: a request must not change when what happened afterwards does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.declaration.models import Pipeline
from include.declaration.resolve import refuse_declaration
from include.errors import LeakageFound


def probe_leakage(
    pipeline: Pipeline,
    rows: pd.DataFrame,
    requests: pd.DataFrame,
    assemble: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    """Scramble the columns known only afterwards in some rows, assemble again, and compare those rows' own requests.

    ``requests`` is ``assemble(rows)``. The probed rows are spread evenly over ``rows``. One flight's outcome may be
    another's history, so a change is confirmed with that row scrambled alone before it counts. Raises LeakageFound
    (facts: ``columns``, ``rows``), or DeclarationError when a column declared as known afterwards is not there.
    """
    known_after = pipeline.leakage.known_after
    absent = sorted(set(known_after) - set(rows.columns))
    if absent:
        raise refuse_declaration(
            pipeline,
            "leakage.known_after",
            f"{pipeline.name} declares {', '.join(absent)} as known only afterwards, but no row has such columns.",
            "Correct leakage.known_after; a misspelt name would protect nothing.",
        )
    count = min(pipeline.leakage.probe_rows, len(rows))
    if not known_after or not count:
        return
    positions = np.linspace(0, len(rows) - 1, count).round().astype(np.int64)
    # Half of the rows get another outcome, half get none: a request may depend on either.
    probes = {int(position): bool(order % 2) for order, position in enumerate(np.unique(positions))}
    suspects = _find_changes(rows, requests, assemble, known_after, probes)
    for probe in sorted(suspects):
        columns = _find_changes(rows, requests, assemble, known_after, {probe: probes[probe]}).get(probe)
        if columns:
            raise LeakageFound(
                f"{pipeline.name}: the request column {', '.join(columns)} depends on what is known only afterwards "
                f"({', '.join(known_after)}): row {probe} changes with its own outcome.",
                next_step=f"Build it in {pipeline.request.assemble} from what is known before.",
                pipeline=pipeline.name,
                columns=tuple(columns),
                row=int(probe),
            )


def _find_changes(
    rows: pd.DataFrame,
    requests: pd.DataFrame,
    assemble: Callable[[pd.DataFrame], pd.DataFrame],
    known_after: tuple[str, ...],
    probes: Mapping[int, bool],
) -> dict[int, list[str]]:
    """Position of each probed row whose request changed, with the columns that did; ``probes`` says which to erase."""
    positions = np.array(list(probes), dtype=np.int64)
    scrambled = rows.copy(deep=False)
    for name in known_after:
        scrambled[name] = _scramble(rows[name], probes)
    after = assemble(scrambled)
    changes: dict[int, list[str]] = {}
    for name in requests.columns:
        differs = _differ(requests[name].iloc[positions], after[name].iloc[positions])
        for probe in positions[differs].tolist():
            changes.setdefault(probe, []).append(str(name))
    return changes


def _scramble(column: pd.Series[Any], probes: Mapping[int, bool]) -> pd.Series[Any]:
    """``column`` with other values at the probed rows: none where it is to be erased, else another row's."""
    scrambled = column.copy()
    can_erase = not (pd.api.types.is_integer_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype))
    for probe, erase in probes.items():
        own = column.iloc[probe]
        if erase and can_erase and not pd.isna(own):
            scrambled.iloc[probe] = None
            continue
        for step in range(1, min(len(column), 1000)):
            other = column.iloc[(probe + step) % len(column)]
            if not pd.isna(other) and (pd.isna(own) or other != own):
                scrambled.iloc[probe] = other
                break
    return scrambled


def _differ(before: pd.Series[Any], after: pd.Series[Any]) -> NDArray[np.bool_]:
    if before.dtype != np.float64:
        return np.array([a != b for a, b in zip(before, after, strict=True)], dtype=np.bool_)
    # A running sum over other rows may round differently; a real dependence is larger than that.
    close = np.isclose(before.to_numpy(), after.to_numpy(), rtol=1e-9, atol=1e-9, equal_nan=True)
    return np.asarray(~close, dtype=np.bool_)
