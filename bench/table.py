"""The README's table of figures, written between two markers from ``bench/results/*.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.results import RESULTS
from include.settings import PROJECT_ROOT

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
README = PROJECT_ROOT / "README.md"
_HEAD = ("Figure", "Ours", "Beside", "Ratio", "Asked for", "Peak memory", "Load")


def _show(value: float | None, unit: str = "") -> str:
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def _write_row(row: dict[str, Any]) -> str:
    beside = f"{row['peer']}: {_show(row['peer_value'], row['unit'])}" if row["peer_value"] is not None else row["peer"]
    ratio = f"{_show(row['ratio'])} ({row['ratio_is']})" if row["ratio"] is not None else "–"
    cells = (
        f"{row['measure']} [`{row['figure']}`]",
        _show(row["value"], row["unit"]),
        beside or "–",
        ratio,
        row["target"] or "–",
        _show(row["peak_mb"], "MB") if row["peak_mb"] else "–",
        _show(row["load_average"]),
    )
    return f"| {' | '.join(cells)} |"


def _write_note(row: dict[str, Any]) -> str:
    ratio = f", ratio {_show(row['ratio'])} ({row['ratio_is']})" if row["ratio"] is not None else ""
    ours, peer = _show(row["value"], row["unit"]), _show(row["peer_value"], row["unit"])
    return f"- {row['measure']} [`{row['figure']}`]: {ours}; {row['peer']}: {peer}{ratio}, load {row['load_average']}"


def write_table(documents: list[list[dict[str, Any]]]) -> str:
    """The table of every figure, its footnotes, and a line that says with what it was measured."""
    rows = [row for document in documents for row in document]
    if not rows:
        return ""
    versions = {name: version for row in rows for name, version in row["versions"].items()}
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    dates = sorted({row["date"] for row in rows})
    notes = [_write_note(row) for row in rows if row.get("footnote")]
    shown = [_write_row(row) for row in rows if not row.get("footnote")]
    lines = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|", *shown]
    if notes:
        lines += ["", "Footnotes, beside peers as they come and not at their best:", "", *notes]
    measured = f"Measured {dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'} with {named}."
    return "\n".join([*lines, "", measured])


def replace_between(text: str, table: str) -> str:
    """``text`` with ``table`` between the markers. Raises ValueError when they are not there once, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"README.md must hold {BEGIN} and, after it, {END}, each once.")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def rewrite_readme(readme: Path = README, results: Path = RESULTS) -> None:
    """Put the figures of every results file into the README."""
    documents = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    text = readme.read_text()
    changed = replace_between(text, write_table(documents))
    if changed != text:
        readme.write_text(changed)
