"""What a bench writes: rows of one shape in ``bench/results/<figure>.json``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from include.settings import PROJECT_ROOT

RESULTS = PROJECT_ROOT / "bench" / "results"


@dataclass(frozen=True)
class Measured:
    """One figure beside its peer. ``ratio_is`` says which way round the ratio is, ``target`` what was asked for.

    ``value`` and ``peer_value`` are in ``unit``; ``peak_mb`` is the peak memory of ours. ``parts`` splits the value.
    A ``footnote`` is told below the README's table: what is good to know, and no fair comparison.
    """

    measure: str
    value: float
    unit: str
    peer: str
    peer_value: float | None = None
    ratio_is: Literal["ours ÷ peer", "peer ÷ ours", ""] = ""
    peak_mb: float | None = None
    peer_peak_mb: float | None = None
    target: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    footnote: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours and the peer's, divided as ``ratio_is`` says; None without a peer."""
        if not self.ratio_is or not self.value or not self.peer_value:
            return None
        return self.value / self.peer_value if self.ratio_is == "ours ÷ peer" else self.peer_value / self.value


def read_load() -> float:
    """The one-minute load average: what else the machine was doing, when read before a bench starts."""
    return round(os.getloadavg()[0], 2)


def find_versions(*packages: str) -> dict[str, str]:
    """The installed versions of ``packages``, and Python's."""
    return {"python": sys.version.split()[0]} | {name: importlib.metadata.version(name) for name in packages}


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return {name: _round(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def write_results(figure: str, rows: Sequence[Measured], load: float, versions: Mapping[str, str]) -> Path:
    """Write ``bench/results/<figure>.json``, say every row on the screen, and return the file.

    ``load`` is the load average before the bench began.
    """
    common = {
        "load_average": load,
        "versions": dict(versions),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"make bench ONLY={figure}",
    }
    documents = [
        {"figure": figure, **{name: _round(value) for name, value in asdict(row).items()}, "ratio": _round(row.ratio)}
        | common
        for row in rows
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{figure}.json"
    path.write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n")
    for row in rows:
        beside = f"; {row.peer}: {row.peer_value:.3g} {row.unit}" if row.peer_value is not None else ""
        ratio = f" (ratio {row.ratio:.3g}, {row.ratio_is})" if row.ratio is not None else ""
        print(f"{row.measure}: {row.value:.3g} {row.unit}{beside}{ratio}; load average before: {load}", flush=True)
    return path
