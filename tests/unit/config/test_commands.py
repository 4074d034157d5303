"""Landing by hand, what is printed, and the words for a wrong call."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.__main__ import main
from config.health import read_tail
from config.landing import land_file
from config.lock_check import check_lock, list_unmet, read_pins
from config.run import _list_failures
from config.status import describe_endpoint, format_table, keep_newest, shorten_reason
from config.story import Step
from include.console.history import HistoryRow
from include.data.landing import find_arrivals
from include.declaration import Pipeline
from include.deployment.status import EndpointStatus
from include.errors import PartitionNameError, RefreshUnreadable
from include.settings import Settings


def test_a_landed_file_appears_whole_under_its_partition(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    source = tmp_path / "anything.csv"
    source.write_text("a,b\n1,2\n")
    target = land_file(settings, pipeline, pipeline.data.first, source)
    assert target == settings.landing_root / pipeline.name / f"{pipeline.data.first}.csv"
    assert target.read_text() == source.read_text()
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name, f"{target.name}.done"]
    # No time to settle: neither for the first file of this name nor for the next.
    for content in ("a,b\n1,2\n", "a,b\n3,4\n"):
        source.write_text(content)
        land_file(settings, pipeline, pipeline.data.first, source)
        assert [arrival.size for arrival in find_arrivals(settings, pipeline)] == [len(content)]
        assert target.read_text() == content


@pytest.mark.parametrize("partition", ["../escape", "1999-01", "nonsense", ""])
def test_a_partition_that_does_not_fit_lands_nothing(
    settings: Settings, pipeline: Pipeline, tmp_path: Path, partition: str
) -> None:
    source = tmp_path / "file.csv"
    source.write_text("a\n")
    with pytest.raises(PartitionNameError):
        land_file(settings, pipeline, partition, source)
    assert not settings.landing_root.exists()


def test_a_missing_file_and_another_kind_of_file_are_refused(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "file.xlsx").write_text("x")
    for name, word in (("absent.csv", "no file"), ("file.xlsx", "formats")):
        with pytest.raises(RefreshUnreadable, match=word):
            land_file(settings, pipeline, pipeline.data.first, tmp_path / name)
    assert not settings.landing_root.exists()


def test_commands_fail_with_a_sentence_and_not_with_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    monkeypatch.delenv("TOLLGATE_PIPELINES", raising=False)
    assert main(["refresh", "flight_delay", "2013-05", "x.parquet"]) == 1
    assert "Did you mean 'flight_delays'?" in capsys.readouterr().err
    assert main(["logs", "schedular"]) == 1
    assert "schedular" in capsys.readouterr().err
    monkeypatch.setenv("TOLLGATE_MAIL_PORT", "no")
    assert main(["stop"]) == 1
    assert "TOLLGATE_MAIL_PORT" in capsys.readouterr().err


def test_stop_and_status_say_that_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TOLLGATE_PORT_BASE", "33000")
    assert main(["stop"]) == 0
    assert "Nothing was running" in capsys.readouterr().out
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "The system is down." in shown
    assert "no refresh has arrived yet" in shown


def make_row(partition: str, outcome: str, at: str) -> HistoryRow:
    return HistoryRow(partition, f"{at}{partition}", at, 1, 0, outcome, "why")


def test_only_the_newest_verdict_of_a_partition_is_shown() -> None:
    rows = [
        make_row("2013-02", "blocked", "1"),
        make_row("2013-01", "deployed", "2"),
        make_row("2013-02", "refused", "3"),
    ]
    assert [(row.partition, row.outcome) for row in keep_newest(rows)] == [
        ("2013-01", "deployed"),
        ("2013-02", "refused"),
    ]


def test_an_endpoint_that_serves_something_else_than_it_should_is_said() -> None:
    status = EndpointStatus(
        "p", "u", "ready", "3", "2", False, "2013-03", "2026-01-02T03:04:05.678+00:00", problem="no"
    )
    text = describe_endpoint(status)
    assert "serves version 2" in text
    assert "2026-01-02 03:04:05 UTC" in text
    assert "version 3 was asked for: no" in text
    assert "scored by" not in text
    nothing = EndpointStatus("p", "u", "down", None, None, True, problem="it does not answer")
    assert describe_endpoint(nothing) == "serves nothing: it does not answer"


def test_what_scores_a_version_is_said_and_why_nothing_faster_does() -> None:
    facts = ("p", "u", "ready", "3", "3", True, "2013-03")
    fast = EndpointStatus(*facts, scoring_path="compiled-native")
    assert "\n  scored by: its compiled form, with native code\n" in f"{describe_endpoint(fast)}\n"
    slow = EndpointStatus(*facts, scoring_path="pipeline", scoring_note="its estimator X is not one that is compiled")
    assert "scored by: the scikit-learn pipeline, because its estimator X" in describe_endpoint(slow)


@pytest.mark.parametrize(("columns", "widest"), [("55", 55), ("20", 2 + 1 + 2 + 30), ("300", 2 + 1 + 2 + 60)])
def test_a_long_reason_is_wrapped_in_its_column_and_cut(
    monkeypatch: pytest.MonkeyPatch, columns: str, widest: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = format_table(("a", "why"), [("1", "word " * 30)]).splitlines()
    assert widest - 5 < max(map(len, lines)) <= widest
    assert len({line.index("word") for line in lines[1:]}) == 1
    assert len(shorten_reason("word " * 200)) <= 240


def test_a_story_fails_when_a_broken_file_passes_a_good_one_is_blocked_or_a_verdict_is_missing() -> None:
    good = [
        Step("1", "", "deployed", "", 1.0),
        Step("2", "", "refused", "", 1.0),
        Step("3", "broken", "blocked", "", 1.0),
    ]
    assert _list_failures(good) == []
    for bad in (
        Step("1", "broken on purpose", "deployed", "", 1.0),
        Step("1", "", "blocked", "why", 1.0),
        Step("1", "", "stopped", "why", 1.0),
        Step("1", "broken on purpose", "stopped", "why", 1.0),
    ):
        assert len(_list_failures([*good, bad])) == 1, bad


def test_the_tail_of_a_log_is_its_end_and_a_missing_one_is_said(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(f"line {number}" for number in range(10_000)))
    assert read_tail(log, lines=2) == "line 9998\nline 9999"
    assert read_tail(tmp_path / "absent.log") == "(no log)"


def test_a_lock_that_lacks_a_package_or_has_a_wrong_version_is_noticed() -> None:
    pins = read_pins("foo-bar==1.5\n    # via x\nbaz[extra]==2.0 ; python_version > '3'\n")
    assert pins == {"foo-bar": "1.5", "baz": "2.0"}
    asked = "# note\nfoo_bar>=1,<2  # why\n-c other.txt\nbaz>=3\nmissing\n"
    assert list_unmet(asked, pins) == ["baz>=3", "missing"]


def test_a_candidate_beside_what_is_served_is_said() -> None:
    candidate = {
        "version": "4",
        "champion": "3",
        "stage": "canary",
        "share_percent": 10.0,
        "started_at": "2026-01-02T03:04:05.678+00:00",
    }
    text = describe_endpoint(EndpointStatus("p", "u", "ready", "3", "3", True, "2013-03", rollout=candidate))
    assert "beside it: version 4, asked 10 % of the requests (canary since 2026-01-02 03:04:05 UTC)" in text


@pytest.mark.parametrize(("ci", "problems"), [("true", 1), ("", 0)])
def test_a_lock_that_cannot_be_compared_with_the_index_fails_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, problems: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    found = check_lock("requirements-serving")
    assert len(found) == problems
    assert "127.0.0.1:1" in "".join(found) + capsys.readouterr().out
