"""The bench of capture is about the declared default, and says nothing unless all that it asked for became Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.__main__ import BENCHES
from bench.endpoint.capture import ALL, DEFAULT, FIGURE, OFF, Cost, check_captured, holds_records, make_rows
from include.serving.capture.folder import prepare_folder
from include.serving.capture.segment import SegmentHead, create_segment, frame_record


def write_rows(folder: Path, rows: int) -> None:
    pq.write_table(pa.table({"row": list(range(rows))}), folder / "one.parquet")


def say(captured: int, not_captured: int = 0) -> dict[str, Any]:
    return {"captured": captured, "not_captured": not_captured}


def test_the_bar_is_for_the_declared_default() -> None:
    default, every = make_rows({OFF: Cost(0.1, 50.0), DEFAULT: Cost(0.104, 200.0), ALL: Cost(0.13, 220.0)})
    assert (default.ratio, default.target) == (pytest.approx(1.04), "ratio ≤ 1.05")
    assert "default sampling of 10 %" in default.measure
    assert (every.ratio, every.target) == (pytest.approx(1.3), "")
    assert "100 %" in every.measure
    assert BENCHES[FIGURE] == "bench.endpoint.capture"


def test_a_segment_waits_until_it_holds_nothing(tmp_path: Path) -> None:
    segment = create_segment(prepare_folder(tmp_path / "flights"), 4096)
    assert not holds_records(tmp_path / "flights")
    segment.begin(SegmentHead("1", "compiled", ()))
    segment.append(frame_record(b"one"))
    assert holds_records(tmp_path / "flights")
    segment.discard()
    assert not holds_records(tmp_path / "flights")


def test_its_share_of_the_requests_is_parquet(tmp_path: Path) -> None:
    check_captured(OFF, tmp_path, say(0), 1000)
    write_rows(tmp_path, 104)
    check_captured(DEFAULT, tmp_path, say(104), 1000)


@pytest.mark.parametrize(
    ("kind", "facts", "answered"),
    [
        (ALL, say(104), 1000),
        (DEFAULT, say(105), 1000),
        (DEFAULT, say(104, 1), 1000),
        (OFF, say(104), 1000),
    ],
)
def test_another_share_or_a_lost_request_is_no_figure(
    kind: str, facts: dict[str, Any], answered: int, tmp_path: Path
) -> None:
    write_rows(tmp_path, 104)
    with pytest.raises(SystemExit, match=kind):
        check_captured(kind, tmp_path, facts, answered)
