"""Two model directories beside each other: what sets them apart, and what each of them may be asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.deployment.local.replay import build_split

if TYPE_CHECKING:
    import pandas as pd

# As many rows as a hundred callers ask about; more bodies would only be more memory.
_BODIES = 100
_MAX_ROWS = 20_000


@dataclass(frozen=True)
class Contender:
    """A version and its model directory; ``metadata`` is what training stored about it."""

    version: str
    model_dir: Path
    metadata: dict[str, Any] = field(repr=False)


def read_contender(version: str, model_dir: Path) -> Contender:
    """Read what the directory says about itself; whether it can be served is for the server to find out."""
    import yaml

    try:
        document = yaml.safe_load((model_dir / "MLmodel").read_bytes())
        metadata: dict[str, Any] = dict(document["metadata"]["tollgate"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        metadata = {}
    return Contender(version, model_dir, metadata)


def count_rows(rows: int) -> int:
    """Stored rows to read, for bodies of ``rows`` rows each."""
    return min(_BODIES * rows, max(_MAX_ROWS, 2 * rows))


def build_bodies(contender: Contender, stored: pd.DataFrame, rows: int) -> list[bytes]:
    """Requests of ``rows`` of the stored rows each, in their order; with fewer than that, the first ones follow again.

    A champion of before a column was declared is asked the same rows without that column, which it would refuse.
    """
    known = contender.metadata.get("request") or list(stored.columns)
    frame = stored[[name for name in stored.columns if name in known]]
    bodies = max(1, len(frame) // rows)
    return [
        build_split(frame.iloc[[place % len(frame) for place in range(number * rows, (number + 1) * rows)]])
        for number in range(bodies)
    ]


def list_changes(candidate: Contender, champion: Contender | None) -> tuple[str, ...]:
    """What is not as it is in the champion, a sentence each: training set, features, type of the model."""
    if champion is None:
        return ("There is no champion to compare with.",)
    new, old = candidate.metadata, champion.metadata
    changes = []
    if new.get("training_set_digest") != old.get("training_set_digest"):
        changes.append(f"Training data: {_name_data(new)} instead of {_name_data(old)}.")
    added, removed = _subtract(new, old), _subtract(old, new)
    if added or removed:
        told = [f"{word} {', '.join(names)}" for word, names in (("added", added), ("removed", removed)) if names]
        changes.append(f"Features: {'; '.join(told)}.")
    if new.get("estimator") != old.get("estimator"):
        changes.append(f"Model type: {new.get('estimator', 'not told')} instead of {old.get('estimator', 'not told')}.")
    return tuple(changes) or ("Training data, features and model type are the same.",)


def _name_data(metadata: dict[str, Any]) -> str:
    return f"{metadata.get('partition', 'an unknown partition')} ({str(metadata.get('training_set_digest'))[:12]})"


def _subtract(some: dict[str, Any], other: dict[str, Any]) -> Sequence[str]:
    names: Iterable[str] = some.get("features", ())
    return [name for name in names if name not in other.get("features", ())]
