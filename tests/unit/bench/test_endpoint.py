"""The endpoint's bench counts what it says: wrk's requests, CPU of whole process trees, and rows with their bars."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bench.__main__ import BENCHES, list_modules
from bench.endpoint.bodies import break_body, write_bodies, write_split
from bench.endpoint.figures import (
    FINISHED,
    MLFLOW,
    NULL,
    OURS,
    PEERS,
    PIPELINE,
    STOCK,
    UNCOMPILED,
    make_all,
)
from bench.endpoint.measure import Seen, Window
from bench.endpoint.model import agree
from bench.endpoint.spent import count_cpu, list_tree, measure_peak, read_cpu, share_cpu
from bench.endpoint.wrk import Load, parse_output
from bench.results import Measured

WRK = """Running 1s test @ http://127.0.0.1:42573/invocations
  1 threads and 8 connections
  1000 requests in 2.00s, 1.49MB read
  Non-2xx or 3xx responses: 3
{"requests":1000,"us":2000000,"p50_us":1655,"p99_us":10703,"max_us":20100,"refused":3,"broken":2,"unnamed":4}
"""


def make_load(requests: int = 300, failed: int = 0, p50: float = 1.0, p99: float = 2.0) -> Load:
    return Load(requests, 3.0, p50, p99, 9.0, failed)


def make_seen(**cpu_ms: float) -> Seen:
    """Every server measured, at 1 CPU ms unless it is named."""
    seen = Seen()
    for server in (*OURS, FINISHED, *UNCOMPILED, PIPELINE, NULL, STOCK, *MLFLOW, *PEERS):
        for rows in (1, 100, 10_000):
            cost = cpu_ms.get(server, 1.0)
            seen.windows[server, rows] = [Window(cost, make_load(round(3000 / cost), p50=cost, p99=2 * cost))] * 3
    return seen


def test_wrk_says_what_it_counted_in_one_line() -> None:
    load = parse_output(WRK)
    assert (load.requests, load.seconds, load.failed, load.unnamed) == (1000, 2.0, 5, 4)
    assert (load.p50_ms, load.p99_ms, load.max_ms) == (1.655, 10.703, 20.1)
    assert load.rate == pytest.approx(995 / 2.0)


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1", f"{WRK}{{}}"])
def test_other_words_of_wrk_are_no_figure(text: str) -> None:
    with pytest.raises(ValueError, match="did not say"):
        parse_output(text)


def test_new_and_ended_processes_are_counted_once() -> None:
    """1 used 0.5 s; 2, which had used 2 s, ended after 3 s in all, which its parent 1 then shows; 3 is new."""
    before = {1: 1.0, 2: 2.0}
    after = {1: 1.0 + 0.5 + 3.0, 3: 0.25}
    assert count_cpu(before, after) == pytest.approx(0.5 + 1.0 + 0.25)


def test_the_cpu_of_a_child_is_that_of_its_tree() -> None:
    spin = "import time\nwhile time.process_time() < 0.5: pass\n"
    parent = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {spin + 'time.sleep(60)'!r}]).wait()"
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        before = read_cpu(process.pid)
        deadline = time.monotonic() + 60
        while count_cpu(before, read_cpu(process.pid)) < 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(read_cpu(process.pid)) == 2
        assert measure_peak(process.pid) > 4
    finally:
        for child in read_cpu(process.pid):
            if child != process.pid:
                subprocess.run(["kill", str(child)], check=True)
        process.wait(10)


def test_the_cpu_of_a_child_that_ended_is_its_parents() -> None:
    """As that of a converter, which is there for a second of a minute."""
    spin = "import time\nwhile time.process_time() < 0.5: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {spin!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        before = read_cpu(process.pid)
        assert process.stdout is not None
        process.stdout.readline()
        assert len(list_tree(process.pid)) == 1
        assert 0.5 <= count_cpu(before, read_cpu(process.pid)) < 30
        process.kill()


def test_peak_memory_is_what_was_given_back_too() -> None:
    program = "room = bytearray(100 << 20)\ndel room\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert measure_peak(process.pid) > 100
        process.kill()
    assert measure_peak(process.pid) == 0


def test_a_process_that_is_gone_used_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    assert read_cpu(process.pid) == {}


def test_requests_under_way_count_as_done() -> None:
    assert share_cpu(1.0, 92, 8) == pytest.approx(10.0)
    assert share_cpu(1.0, 0, 0) == pytest.approx(1000.0)


def test_bodies_hold_other_rows_each_and_null_for_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"carrier": ["AA", None] * 200, "hour": [float(hour) for hour in range(400)]})
    lines = write_bodies(frame, 1, tmp_path / "bodies" / "1.txt").read_text().splitlines()
    rows = [json.loads(line)["dataframe_split"]["data"][0] for line in lines]
    assert len({hour for _, hour in rows}) == len(lines) == 200
    assert {carrier for carrier, _ in rows} == {"AA", None}


def test_a_broken_body_is_wrong_in_one_place() -> None:
    body = write_split(pd.DataFrame({"carrier": ["AA"], "hour": [1.0]}))
    broken = break_body(body, text="carrier", number="hour", required=True)
    both = ["carrier", "hour"]
    assert {kind: json.loads(text)["dataframe_split"] for kind, text in broken.items()} == {
        "a number for a text": {"columns": both, "data": [[7, 1.0]]},
        "a text for a number": {"columns": both, "data": [["AA", "7"]]},
        "an unknown column": {"columns": [*both, "unheard_of"], "data": [["AA", 1.0, 1.0]]},
        "a missing column": {"columns": ["hour"], "data": [[1.0]]},
        "a null": {"columns": both, "data": [[None, 1.0]]},
    }
    optional = break_body(body, text="carrier", number="hour", required=False)
    assert optional.keys() == {"a number for a text", "a text for a number", "an unknown column"}


def test_answers_agree_when_all_are_there_and_near() -> None:
    assert agree([0.25, 0.5], [0.25 + 1e-10, 0.5])
    assert not agree([0.25, 0.5], [0.25 + 1e-8, 0.5])
    assert not agree([0.25], [0.25, 0.5])
    assert not agree([float("nan")], [float("nan")])


def find_target(rows: list[Measured], target: str) -> Measured:
    return next(row for row in rows if row.target == target)


def test_ours_and_mlflow_are_the_better_of_one_and_two_workers() -> None:
    made = make_all(make_seen(tollgate=0.2, tollgate_2=0.1, mlflow=20.0, mlflow_2=10.0))
    cpu = find_target(made["endpoint_1row_cpu_vs_mlflow"], "ratio ≥ 60")
    assert (cpu.value, cpu.peer_value, cpu.ratio) == (0.1, 10.0, pytest.approx(100.0))
    assert "two workers" in cpu.peer
    rate = find_target(made["endpoint_100row_c8_rps_vs_mlflow"], "ratio ≥ 12")
    assert (rate.value, rate.peer_value) == (10_000.0, 100.0)
    tail = find_target(made["endpoint_1row_c8_rps_vs_mlflow"], "ratio < 1")
    assert (tail.value, tail.peer_value) == (0.2, 10.0)


def test_peers_with_one_worker_are_beside_one_of_ours_and_mlflow_as_it_comes_is_a_footnote() -> None:
    rows = make_all(make_seen(tollgate=0.2, tollgate_2=0.1))["endpoint_1row_cpu_vs_mlflow"]
    assert [row.value for row in rows] == [0.1, 0.2, 0.2, 0.2, 0.2]
    assert [row.measure.split(", ")[1] for row in rows] == ["two workers", *["one worker"] * 4]
    assert [row.peer for row in rows if row.footnote] == ["mlflow models serve as it comes"]


def test_the_floor_and_the_missing_compiler_have_their_bars() -> None:
    made = make_all(make_seen(null=0.02, finished=0.06, tollgate=0.1, no_compiler=0.15))
    beside = {row.target: row.ratio for row in made["endpoint_1row_cpu_vs_null"] + made["endpoint_no_compiler"]}
    assert beside["ratio ≤ 4"] == pytest.approx(3.0)
    assert beside["ratio ≤ 6"] == pytest.approx(5.0)
    assert beside["ratio ≤ 8"] == pytest.approx(7.5)


def test_without_a_compiler_too_ours_is_the_better_of_one_and_two_workers() -> None:
    made = make_all(make_seen(no_compiler=2.0, no_compiler_2=1.0, mlflow=10.0, mlflow_2=8.0))["endpoint_no_compiler"]
    row = find_target(made, "ratio ≥ 5")
    assert (row.value, row.peer_value) == (1000.0, 125.0)
    assert row.measure.endswith("two workers")


def test_a_peer_that_is_laxer_is_named_so() -> None:
    seen = make_seen()
    seen.laxer["mlserver"] = "laxer: takes a null"
    rows = make_all(seen)["endpoint_1row_cpu_vs_mlflow"]
    assert [row.peer for row in rows if "laxer" in row.peer] == [
        "MLServer with its MLflow runtime, one worker (laxer: takes a null)"
    ]


def test_every_figure_that_is_made_can_be_asked_for() -> None:
    made = {figure for figure, module in BENCHES.items() if module == "bench.endpoint.__main__"}
    assert make_all(make_seen()).keys() == made
    assert list_modules("endpoint_no_compiler") == ["bench.endpoint.__main__"]
    assert len(list_modules(None)) == len(set(BENCHES.values()))
