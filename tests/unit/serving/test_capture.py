"""Capturing in one process: what is kept, what never is, how much of the disk it takes, and what damage costs."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.captured import OWN_COLUMNS, list_captured
from include.serving.board import Board
from include.serving.capture.convert import Converted, convert_closed
from include.serving.capture.folder import MEBIBYTE, NoRoom, allocate_segment, list_segments
from include.serving.capture.keeper import Capture
from include.serving.capture.recorder import Recorder, read_capture
from include.serving.capture.segment import SegmentHead, frame_record, read_segment
from include.serving.counters import CAPTURED, NOT_CAPTURED, SWAPS, Counters
from include.serving.schema import read_schema
from include.serving.totals import read_count
from include.serving.versions import VERSIONS
from include.settings import PROJECT_ROOT
from tests.unit.served_models import wait_for
from tests.unit.serving.local_server import REQUEST, ROW, Local, make_model, score_halves, serve_locally

CAPTURE = {
    "enable_capture": True,
    "initial_sampling_percentage": 100.0,
    "rotate_mb": 0.05,
    "rotate_seconds": 3600.0,
    "max_mb": 1.0,
}
PRIVATE = {**REQUEST, "name": {"type": "string", "required": False, "private": True}}
HEAD = SegmentHead("7", "pipeline", (("hour", "number"), ("carrier", "string")))
MOST = 8 * MEBIBYTE


def make_captured_model(request: dict[str, Any] = PRIVATE, **changes: Any) -> Any:
    model = make_model(score_halves, inline_bytes=1 << 12)
    metadata = {**model.metadata, "request": request, "data_capture": {**CAPTURE, **changes}}
    return replace(model, schema=read_schema(request), metadata=metadata)


@contextmanager
def serve_captured(folder: Path, model: Any = None) -> Iterator[Local]:
    """A server that captures into ``folder``; its segments are closed when this ends."""
    model = make_captured_model() if model is None else model
    with serve_locally(make_model(score_halves, version="0")) as local:
        capture = Capture(folder, local.endpoint.counters)
        local.endpoint.capture = capture
        local.endpoint.take(model, None)
        yield local
        capture.keep_only(None)
        wait_for(lambda: not capture._recorders and capture._converter is None)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in list_captured(folder) for row in pq.read_table(path).to_pylist()]


def read_everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def write_segment(folder: Path, *requests: tuple[float, bytes, list[Any], list[float]], head: Any = HEAD) -> Path:
    """A closed segment of these requests."""
    import msgspec

    segment = allocate_segment(folder, 65536, MOST)
    segment.begin(head)
    for request in requests:
        assert segment.append(frame_record(msgspec.msgpack.encode(request)))
    segment.close()
    return segment.path


def test_what_was_acknowledged_is_in_the_table_with_types_and_without_private_columns(tmp_path: Path) -> None:
    folder = tmp_path / "captured" / "made_up"
    with serve_captured(folder) as local:
        first = local.ask(
            body={"instances": [{"hour": 7, "carrier": None, "name": "Jane Private"}]}, x_request_id="a-1"
        )
        other = local.ask(body={"inputs": {"hour": [1, 2.5], "carrier": ["AA", "é"], "name": ["x", "Jane Private"]}})
        large = {"inputs": {"hour": [1] * 2000, "carrier": ["A"] * 2000}}
        queued = local.ask(body=large, x_request_id="queued")
        assert local.ask(body={"instances": [{"hour": "x"}]}).status == 400
        probe = local.ask(body=ROW, x_tollgate_probe="1")
        assert b"Jane Private" not in read_everything(tmp_path)
        assert "x-captured" not in probe.headers
        assert (first.headers["x-captured"], other.headers["x-captured"]) == ("a-1", other.headers["x-request-id"])
        assert queued.headers.get("x-captured") == "queued"
        described = local.ask("/version").body["capture"]
        metrics = local.read_metrics()
    assert (described["state"], described["captured"], described["not_captured"]) == ("on", 3, 0)
    assert metrics["tollgate_captured_total", "7"] == 3
    convert_closed(folder, MOST)
    assert list_segments(folder) == []
    assert b"Jane Private" not in read_everything(tmp_path)
    rows = [row for row in read_rows(folder) if row["request_id"] != "queued"]
    assert [(row["request_id"], row["row"], row["hour"], row["carrier"]) for row in rows] == [
        ("a-1", 0, 7.0, None),
        (other.headers["x-request-id"], 0, 1.0, "AA"),
        (other.headers["x-request-id"], 1, 2.5, "é"),
    ]
    assert {(row["model_version"], row["scoring_path"], row["prediction"]) for row in rows} == {("7", "pipeline", 0.5)}
    assert len(read_rows(folder)) == 2003
    schema = pq.read_schema(list_captured(folder)[0])
    assert schema.names == [*OWN_COLUMNS, "hour", "carrier"]
    assert [schema.field(name).type for name in ("captured_at", "row", "hour", "carrier")] == [
        pa.timestamp("us", "UTC"), pa.int32(), pa.float64(), pa.string()
    ]  # fmt: skip
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_share_of_the_requests_is_chosen_at_random(tmp_path: Path) -> None:
    with serve_captured(tmp_path / "c", make_captured_model(initial_sampling_percentage=30.0)) as local:
        told = sum("x-captured" in local.ask(body=ROW).headers for _ in range(300))
        assert local.ask("/version").body["capture"]["captured"] == told
    assert 50 < told < 130


def test_what_was_captured_of_a_version_long_gone_still_counts(tmp_path: Path) -> None:
    with serve_captured(tmp_path / "c") as local:
        assert "x-captured" in local.ask(body=ROW).headers
        local.endpoint.take(replace(make_captured_model(), version="8"), None)
        for number in range(VERSIONS):
            local.endpoint.counters.count(SWAPS, f"later-{number}")
        assert ("tollgate_captured_total", "7") not in local.read_metrics()
        assert local.ask("/version").body["capture"]["captured"] == 1


@pytest.mark.parametrize(
    "capture, reason",
    [
        (None, "without data_capture"),
        ({**CAPTURE, "enable_capture": False}, "asks for none"),
        ({**CAPTURE, "initial_sampling_percentage": 0.0}, "asks for none"),
        ({"enable_capture": "perhaps"}, "cannot be read"),
    ],
)
def test_a_version_that_is_not_to_be_captured_is_answered_all_the_same(
    tmp_path: Path, capture: Any, reason: str
) -> None:
    model = make_captured_model()
    model.metadata["data_capture"] = capture
    with serve_captured(tmp_path / "c", model) as local:
        reply = local.ask(body=ROW)
        described = local.ask("/version").body["capture"]
    assert reply.status == 200
    assert "x-captured" not in reply.headers
    assert (described["state"], described["captured"]) == ("off", 0)
    assert reason in described["reason"]
    assert not (tmp_path / "c").exists()


def test_a_column_with_a_name_of_the_tables_own_turns_capturing_off(tmp_path: Path) -> None:
    with serve_captured(tmp_path / "c", make_captured_model({**REQUEST, "row": REQUEST["carrier"]})) as local:
        assert "column row" in local.ask("/version").body["capture"]["reason"]


def test_without_columns_that_may_be_kept_the_answers_are(tmp_path: Path) -> None:
    private = {name: {**facts, "private": True} for name, facts in REQUEST.items()}
    with serve_captured(tmp_path / "c", make_captured_model(private)) as local:
        assert local.ask(body={"inputs": {"hour": [1, 2]}}).headers["x-captured"]
    convert_closed(tmp_path / "c", MOST)
    assert [row["row"] for row in read_rows(tmp_path / "c")] == [0, 1]
    assert list(read_rows(tmp_path / "c")[0]) == list(OWN_COLUMNS)


def test_where_there_is_no_folder_answers_go_on_and_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file where the folder should be")
    with serve_captured(tmp_path / "c" / "made_up") as local:
        reply = local.ask(body=ROW)
        described = local.ask("/version").body["capture"]
        metrics = local.read_metrics()
    assert reply.status == 200
    assert "x-captured" not in reply.headers
    assert (described["state"], described["not_captured"]) == ("stopped", 1)
    assert "File exists" in described["reason"]
    assert metrics["tollgate_not_captured_total", "no segment"] == 1


def test_a_request_that_no_segment_can_hold_is_answered_and_uses_none_up(tmp_path: Path) -> None:
    with serve_captured(tmp_path / "c") as local:
        reply = local.ask(body={"inputs": {"hour": [1] * 20_000}})
        assert (reply.status, "x-captured" in reply.headers) == (200, False)
        assert local.ask(body=ROW).headers["x-captured"]
        assert local.read_metrics()["tollgate_not_captured_total", "too large"] == 1


def test_a_text_that_utf_8_cannot_spell_is_answered_and_counted(tmp_path: Path) -> None:
    model = make_captured_model()
    counters = Counters(Board())
    recorder = Recorder(model, read_capture(model.metadata), counters, lambda: None)
    unspeakable = recorder.encode(b"x", [(1.0, "\ud800", None)], [0.5])
    assert unspeakable == b""
    assert recorder.append(unspeakable) is False
    recorder.spare = allocate_segment(tmp_path / "c", 65536, MOST)
    assert recorder.append(recorder.encode(b"x", [(1.0, "AA", None)], [0.5])) is True
    assert recorder.append(unspeakable) is False, "with a segment open too"
    assert read_count(counters.board, NOT_CAPTURED, "not encodable") == 2
    assert read_count(counters.board, CAPTURED, "7") == 1


def test_a_torn_record_and_what_follows_is_left_out_and_what_precedes_is_kept(tmp_path: Path) -> None:
    requests = [(1.0 + n, b"r%d" % n, [(float(n), "AA")], [0.5]) for n in range(5)]
    path = write_segment(tmp_path / "c", *requests)
    content = bytearray(path.read_bytes())
    content[content.index(b"r3")] ^= 0xFF
    path.write_bytes(content)
    assert convert_closed(tmp_path / "c", MOST) == Converted(files=1, rows=3)
    assert [row["request_id"] for row in read_rows(tmp_path / "c")] == ["r0", "r1", "r2"]


def test_a_record_that_was_being_copied_is_not_there(tmp_path: Path) -> None:
    """What a kill between the copy and the end's update leaves."""
    path = write_segment(tmp_path / "c", (1.0, b"whole", [(1.0, "AA")], [0.5]))
    end = int.from_bytes(path.read_bytes()[8:16], "little")
    content = bytearray(path.read_bytes())
    content[end : end + 40] = frame_record(b"half of a record, the rest of it was never copied")[:40]
    path.write_bytes(content)
    found = read_segment(path)
    assert found is not None
    assert len(found[1]) == 1


@pytest.mark.parametrize("head", [b"\xff" * 64, b"TGCAPT01" + b"\xff" * 56, b"short"])
def test_a_segment_without_a_head_is_set_aside_for_a_person_and_stops_no_other(tmp_path: Path, head: bytes) -> None:
    broken = write_segment(tmp_path / "c", (1.0, b"lost", [(1.0, "AA")], [0.5]))
    broken.write_bytes(head + broken.read_bytes()[len(head) :])
    if head == b"short":
        broken.write_bytes(head * 8)
    write_segment(tmp_path / "c", (1.0, b"kept", [(1.0, "AA")], [0.5]))
    assert convert_closed(tmp_path / "c", MOST) == Converted(files=1, rows=1, damaged=1)
    assert len(list((tmp_path / "c").glob("*.damaged"))) == 1
    assert convert_closed(tmp_path / "c", MOST) == Converted()


def test_an_unused_segment_goes_and_one_in_use_stays(tmp_path: Path) -> None:
    unused = allocate_segment(tmp_path / "c", 65536, MOST)
    used = allocate_segment(tmp_path / "c", 65536, MOST)
    unused.close()
    assert convert_closed(tmp_path / "c", MOST) == Converted()
    assert list_segments(tmp_path / "c") == [used.path]
    used.close()
    convert_closed(tmp_path / "c", MOST)
    assert list_segments(tmp_path / "c") == []


def test_a_segment_whose_file_was_written_before_the_kill_is_not_written_twice(tmp_path: Path) -> None:
    path = write_segment(tmp_path / "c", (1.0, b"once", [(1.0, "AA")], [0.5]))
    content = path.read_bytes()
    convert_closed(tmp_path / "c", MOST)
    path.write_bytes(content)
    convert_closed(tmp_path / "c", MOST)
    assert [row["request_id"] for row in read_rows(tmp_path / "c")] == ["once"]
    assert not path.exists()


def test_the_oldest_files_go_first_and_segments_count(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    for number in range(30):
        write_segment(folder, (1e9 + number, b"%d" % number, [(1.0, "AA")], [0.5]))
        convert_closed(folder, 300_000)
    size = sum(path.stat().st_size for path in list_captured(folder))
    names = [row["request_id"] for row in read_rows(folder)]
    assert names == [str(number) for number in range(30 - len(names), 30)]
    most = size + 65536 * 2 - 1
    allocate_segment(folder, 65536, most).close()
    assert [row["request_id"] for row in read_rows(folder)] == names[1:], "one file made room"
    with pytest.raises(NoRoom):
        allocate_segment(folder, 65536, 150_000)


def test_a_full_disk_stops_capturing_and_never_answering(tmp_path: Path) -> None:
    """The limit of a file's size stands in for the full disk: allocating fails in the same call."""
    script = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from pathlib import Path
from tests.unit.serving.local_server import ROW
from tests.unit.serving.test_capture import serve_captured
with serve_captured(Path({str(tmp_path / "c")!r})) as local:
    replies = [local.ask(body=ROW) for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 5
    assert not any("x-captured" in reply.headers for reply in replies)
    print(local.ask("/version").body["capture"])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "'state': 'stopped'" in done.stdout
    assert "File too large" in done.stdout
    assert list((tmp_path / "c" / "open").iterdir()) == []
