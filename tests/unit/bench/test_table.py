"""The README's table says what the results say, and nothing else in the README changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import results
from bench.results import Measured, write_results
from bench.table import BEGIN, END, README, replace_between, rewrite_readme


def test_the_table_stands_between_the_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    rows = [
        Measured("a gate", 2.0, "CPU s", "a peer", 9.0, "peer ÷ ours", 848.2, target="ratio ≥ 3"),
        Measured("idle memory", 1500.0, "MB", ""),
        Measured("a gate", 2.0, "CPU s", "a peer as it comes", 90.0, "peer ÷ ours", footnote=True),
    ]
    path = write_results("some_figure", rows, 0.21, {"python": "3.11.7"})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert all(line.endswith("; load average before: 0.21") for line in printed)
    stored = json.loads(path.read_text())
    assert {
        "figure",
        "value",
        "unit",
        "peer",
        "ratio",
        "peak_mb",
        "load_average",
        "versions",
        "date",
        "command",
    } <= set(stored[0])
    assert (stored[0]["ratio"], stored[1]["ratio"]) == (4.5, None)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite_readme(readme, path.parent)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| Figure |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    line = "| a gate [`some_figure`] | 2 CPU s | a peer: 9 CPU s | 4.5 (peer ÷ ours) | ratio ≥ 3 | 848 MB | 0.21 |"
    assert line in text
    assert "| idle memory [`some_figure`] | 1,500 MB | – | – | – | – | 0.21 |" in text
    table, footnotes = text.split("Footnotes, ")
    assert "as it comes" not in table
    assert (
        "- a gate [`some_figure`]: 2 CPU s; a peer as it comes: 90 CPU s, ratio 45 (peer ÷ ours), load 0.21"
        in footnotes
    )
    rewrite_readme(readme, path.parent)
    assert readme.read_text() == text


def test_a_readme_without_its_markers_is_not_rewritten() -> None:
    with pytest.raises(ValueError, match="each once"):
        replace_between(f"{END} {BEGIN}", "table")
    assert replace_between(README.read_text(), "table").count("table\n<!--") == 1
