"""The landing folder: what counts as complete, what is listed, and what is refused instead of waited for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from include.contracts import Arrival
from include.data import settling
from include.data.landing import find_arrival, find_arrivals, look_for_arrivals, stamp_folder
from include.data.ledger import list_refused, record_refused
from include.data.snapshot import take_in
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshMissing, RefreshUnreadable, TerminalError
from include.settings import Settings, load_settings
from tests.unit.data.steps import land_bytes
from tests.unit.factory import make_pipeline


class Clock:
    """A monotonic clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(settling.time, "monotonic", clock)
    return clock


@pytest.fixture
def slow() -> Pipeline:
    """A pipeline whose files settle in 5 seconds."""
    return make_pipeline(data={"settle_seconds": 5.0})


def names(arrivals: list[Arrival]) -> list[str]:
    return [Path(arrival.path).name for arrival in arrivals]


def test_no_landing_folder_is_no_arrival_and_leaves_nothing_behind(settings: Settings, slow: Pipeline) -> None:
    assert find_arrivals(settings, slow) == []
    assert not settings.home.exists()


def test_marked_file_is_complete_at_once(settings: Settings, slow: Pipeline, clock: Clock) -> None:
    path = land_bytes(settings, slow, "2013-05.parquet", b"12345")
    stat = path.stat()
    assert find_arrivals(settings, slow) == [Arrival("parcels", "2013-05", str(path), 5, stat.st_mtime_ns, stat.st_ino)]


def test_marker_of_an_earlier_version_does_not_vouch_for_a_rewrite(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    path = land_bytes(settings, slow, "2013-05.parquet")
    marker = path.with_name("2013-05.parquet.done")
    os.utime(marker, ns=(path.stat().st_mtime_ns - 1, path.stat().st_mtime_ns - 1))
    assert find_arrivals(settings, slow) == []
    clock.now += 5
    assert names(find_arrivals(settings, slow)) == ["2013-05.parquet"]


def test_file_seen_as_part_is_complete_the_moment_it_is_renamed(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    part = land_bytes(settings, slow, "2013-05.parquet.part", done=False)
    assert find_arrivals(settings, slow) == []
    part.rename(part.with_suffix(""))
    assert names(find_arrivals(settings, slow)) == ["2013-05.parquet"]
    assert names(find_arrivals(settings, slow)) == ["2013-05.parquet"], "a second look must not forget the rename"


def test_file_written_in_place_beside_an_abandoned_part_must_settle(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    part = land_bytes(settings, slow, "2013-05.parquet.part", done=False)
    find_arrivals(settings, slow)
    land_bytes(settings, slow, "2013-05.parquet", done=False)  # another inode while the part still holds its own
    part.unlink()
    assert find_arrivals(settings, slow) == []


def test_plain_file_waits_until_it_kept_still_for_settle_seconds(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    path = land_bytes(settings, slow, "2013-05.csv", b"a", done=False)
    assert find_arrivals(settings, slow) == []
    clock.now += 4
    path.write_bytes(b"ab")
    assert find_arrivals(settings, slow) == []
    clock.now += 4
    assert find_arrivals(settings, slow) == [], "its size changed 4 seconds ago"
    clock.now += 1
    assert names(find_arrivals(settings, slow)) == ["2013-05.csv"]


def test_a_look_says_when_the_next_file_may_be_complete(settings: Settings, slow: Pipeline, clock: Clock) -> None:
    """Whoever looks rarely by itself has to look again then, because nothing in the folder changes at that moment."""
    assert look_for_arrivals(settings, slow).settles_in is None
    land_bytes(settings, slow, "2013-05.csv", done=False)
    assert look_for_arrivals(settings, slow).settles_in == 5
    clock.now += 3
    land_bytes(settings, slow, "2013-06.csv", done=False)
    assert look_for_arrivals(settings, slow).settles_in == 2
    clock.now += 2
    look = look_for_arrivals(settings, slow)
    assert (names(look.arrivals), look.settles_in) == (["2013-05.csv"], 3)
    clock.now += 3
    assert look_for_arrivals(settings, slow).settles_in is None


def test_same_size_but_newer_time_starts_the_wait_again(settings: Settings, slow: Pipeline, clock: Clock) -> None:
    path = land_bytes(settings, slow, "2013-05.csv", b"a", done=False)
    find_arrivals(settings, slow)
    clock.now += 5
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert find_arrivals(settings, slow) == []


@pytest.mark.parametrize("shift", [+86400, -86400], ids=["time in the future", "time long ago"])
def test_wall_clock_decides_nothing(settings: Settings, slow: Pipeline, clock: Clock, shift: int) -> None:
    """A clock that jumped, or another machine's, neither makes a fresh file old nor an old one wait for ever."""
    path = land_bytes(settings, slow, "2013-05.csv", done=False)
    os.utime(path, (time.time() + shift, time.time() + shift))
    assert find_arrivals(settings, slow) == []
    clock.now += 5
    assert names(find_arrivals(settings, slow)) == ["2013-05.csv"]


def test_memory_of_another_boot_or_a_damaged_one_only_costs_one_more_wait(
    settings: Settings, slow: Pipeline, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_bytes(settings, slow, "2013-05.csv", done=False)
    find_arrivals(settings, slow)
    clock.now += 5
    monkeypatch.setattr(settling, "_read_boot_id", lambda: "after a restart")
    assert find_arrivals(settings, slow) == []
    for damaged in (b"", b"[]", b'{"boot": "after a restart", "since": 3, "parts": {}}', b"\xff\x00"):
        clock.now += 5
        (settings.work_root / "parcels" / "landing.json").write_bytes(damaged)
        assert find_arrivals(settings, slow) == []
    clock.now = 3.0  # and a memory that lies in the future of this clock
    assert find_arrivals(settings, slow) == []
    clock.now += 5
    assert names(find_arrivals(settings, slow)) == ["2013-05.csv"]


def test_looking_every_second_writes_only_when_something_changed(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    land_bytes(settings, slow, "2013-05.csv", done=False)
    find_arrivals(settings, slow)
    memory = settings.work_root / "parcels" / "landing.json"
    first = memory.stat().st_ino
    clock.now += 1
    find_arrivals(settings, slow)
    assert memory.stat().st_ino == first


def test_parts_markers_dotfiles_and_folders_are_never_arrivals(settings: Settings) -> None:
    pipeline = make_pipeline(data={"settle_seconds": 0.0})
    for name in ("2013-05.parquet.part", "2013-05.parquet.done", ".2013-05.parquet", ".hidden", "2013-06.csv"):
        land_bytes(settings, pipeline, name, done=False)
    (settings.landing_root / "parcels" / "2013-07.parquet").mkdir()
    assert names(find_arrivals(settings, pipeline)) == ["2013-06.csv"]


def test_arrivals_come_in_partition_order_and_a_partitions_newest_file_last(settings: Settings) -> None:
    pipeline = make_pipeline(data={"partition_format": "%m-%Y", "first": "01-2012", "settle_seconds": 0.0})
    for age, name in enumerate(["02-2013.csv", "12-2012.csv", "readme.txt", "01-2013.csv", "01-2013.parquet"]):
        path = land_bytes(settings, pipeline, name, done=False)
        os.utime(path, (2000 - age, 2000 - age))
    assert names(find_arrivals(settings, pipeline)) == [
        "12-2012.csv",
        "01-2013.parquet",
        "01-2013.csv",
        "02-2013.csv",
        "readme.txt",
    ]


def refuse(settings: Settings, pipeline: Pipeline, arrival: Arrival) -> TerminalError:
    with pytest.raises(TerminalError) as caught:
        take_in(settings, pipeline, arrival)
    record_refused(settings, pipeline, arrival, caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "partition", "error"),
    [
        ("may.parquet", "", PartitionNameError),
        ("2012-01.parquet", "", PartitionNameError),
        ("2013-05.xlsx", "2013-05", RefreshUnreadable),
        ("2013-05.txt", "2013-05", RefreshUnreadable),
        ("<b>2013-05<b>.csv", "", PartitionNameError),
        ("..2013-05.csv", None, None),
    ],
)
def test_unusable_file_is_refused_once_with_its_reason(
    settings: Settings, pipeline: Pipeline, name: str, partition: str | None, error: type[TerminalError] | None
) -> None:
    land_bytes(settings, pipeline, name)
    arrivals = find_arrivals(settings, pipeline)
    if error is None:
        assert arrivals == [], "a dotfile is nobody's refresh"
        return
    assert [arrival.partition for arrival in arrivals] == [partition]
    assert isinstance(refuse(settings, pipeline, arrivals[0]), error)
    assert find_arrivals(settings, pipeline) == []
    assert [(record["name"], record["error"]) for record in list_refused(settings, pipeline)] == [
        (name, error.__name__)
    ]
    land_bytes(settings, pipeline, name, b"another attempt")
    assert names(find_arrivals(settings, pipeline)) == [name], "a new file of that name is refused anew"


_FILE_NAMES = st.binary(min_size=1, max_size=120).filter(
    lambda raw: (
        b"/" not in raw and b"\0" not in raw and not raw.startswith(b".") and not raw.endswith((b".part", b".done"))
    )
)


@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_FILE_NAMES)
@example(b"\xff\xfe.csv")
@example("２０１３-05.csv".encode())
@example(b"x" * 250 + b".csv")
@example(b"a\nb.parquet")
@example(b"a\\..\\..\\2013-05.csv")
@example(b"$(touch x).csv")
def test_any_file_name_is_listed_refused_once_and_touches_nothing_outside(
    tmp_path_factory: pytest.TempPathFactory, name: bytes
) -> None:
    settings = load_settings({"TOLLGATE_HOME": str(tmp_path_factory.mktemp("home"))})
    pipeline = make_pipeline(data={"settle_seconds": 0.0})
    folder = settings.landing_root / "parcels"
    folder.mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
    (arrival,) = find_arrivals(settings, pipeline)
    arrival.path.encode()
    if arrival.partition == "":
        refuse(settings, pipeline, arrival)
        assert find_arrivals(settings, pipeline) == []
        assert [path.name for path in folder.iterdir()] == [os.fsdecode(name)]
        assert not (settings.data_root / "parcels" / "snapshots").exists()
        (record,) = (settings.records_root / "parcels" / "sighting").iterdir()
        assert len(record.name) == 32 + len(".json")


def test_symbolic_link_out_of_the_folder_is_refused_and_not_followed(
    settings: Settings, pipeline: Pipeline, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password")
    folder = settings.landing_root / "parcels"
    folder.mkdir(parents=True)
    (folder / "2013-05.csv").symlink_to(secret)
    (folder / "2013-05.csv.done").touch()
    (arrival,) = find_arrivals(settings, pipeline)
    error = refuse(settings, pipeline, arrival)
    assert isinstance(error, RefreshUnreadable) and "symbolic link" in error.message
    assert list((settings.data_root / "parcels" / "snapshots").iterdir()) == []


def test_pipe_is_refused_instead_of_waited_on(settings: Settings, pipeline: Pipeline) -> None:
    folder = settings.landing_root / "parcels"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "2013-05.csv")
    (folder / "2013-05.csv.done").touch()
    (arrival,) = find_arrivals(settings, pipeline)
    assert "not a plain file" in refuse(settings, pipeline, arrival).message


def test_find_arrival_names_what_is_missing_and_succeeds_once_settled(
    settings: Settings, slow: Pipeline, clock: Clock
) -> None:
    with pytest.raises(RefreshMissing, match="there is no such file"):
        find_arrival(settings, slow, "2013-05")
    land_bytes(settings, slow, "2013-05.csv", done=False)
    with pytest.raises(RefreshMissing, match=r"2013-05\.csv is still being written"):
        find_arrival(settings, slow, "2013-05")
    clock.now += 5
    assert find_arrival(settings, slow, "2013-05").partition == "2013-05"


@pytest.mark.parametrize("partition", ["../parcels/2013-05", "2013-05/", "2013-05.csv", "2012-05"])
def test_find_arrival_refuses_an_unusable_partition(settings: Settings, pipeline: Pipeline, partition: str) -> None:
    with pytest.raises(PartitionNameError):
        find_arrival(settings, pipeline, partition)


def test_find_arrival_takes_the_newest_file_of_a_declared_format(settings: Settings, pipeline: Pipeline) -> None:
    for age, name in enumerate(["2013-05.xlsx", "2013-05.csv", "2013-05.parquet", "2013-06.csv"]):
        path = land_bytes(settings, pipeline, name)
        os.utime(path, (2000 - age, 2000 - age))
    assert names([find_arrival(settings, pipeline, "2013-05")]) == ["2013-05.csv"]


def test_a_thousand_dealt_with_files_cost_little_each_second(settings: Settings, pipeline: Pipeline) -> None:
    """A look must stay far below the poll interval of one second; it took about 0.02 s when this was written."""
    pipeline = make_pipeline(data={"settle_seconds": 0.0})
    for number in range(500):
        land_bytes(settings, pipeline, f"note-{number}.txt", done=False)
    error = PartitionNameError("no", next_step="none")
    for arrival in find_arrivals(settings, pipeline):
        record_refused(settings, pipeline, arrival, error)
    start = time.process_time()
    assert find_arrivals(settings, pipeline) == []
    assert time.process_time() - start < 0.3


def test_the_stamp_of_the_folder_changes_with_every_name_in_it(settings: Settings, pipeline: Pipeline) -> None:
    folder = settings.landing_root / pipeline.name
    stamps = [stamp_folder(settings, pipeline.name)]
    part = folder / "2013-05.parquet.part"
    for change in (
        lambda: folder.mkdir(parents=True),
        part.touch,
        lambda: part.rename(folder / "2013-05.parquet"),
        (folder / "2013-05.parquet").unlink,
    ):
        time.sleep(0.02)  # the clock of a file system ticks a hundred times a second or so
        change()
        stamps.append(stamp_folder(settings, pipeline.name))
    assert len(set(stamps)) == len(stamps)
    assert stamps[0] == 0
