"""Names from outside: only what fits the declaration ever becomes part of a path."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from include.contracts import Arrival
from include.data.names import check_partition, identify_arrival, quote_name, show_name, split_file_name
from include.errors import PartitionNameError
from tests.unit.factory import make_pipeline

MONTHS = {f"2013-{month:02d}" for month in range(1, 13)}


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40) | st.from_regex(r"[0-9./\\-]{1,12}"))
@example("../2013-01")
@example("2013-01/../../etc")
@example("/etc/passwd")
@example("2013-01\x00")
@example("2013-01\n")
@example(" 2013-01")
@example("2013-1")
@example("２０１３-01")
@example("٢٠١٣-٠١")
@example("2013-13")
@example("2013-01" * 2000)
@example("")
def test_only_a_month_as_declared_is_a_partition(text: str) -> None:
    pipeline = make_pipeline(data={"last": "2013-12"})
    if text in MONTHS:
        check_partition(pipeline, text)
    else:
        with pytest.raises(PartitionNameError) as caught:
            check_partition(pipeline, text)
        assert caught.value.partition == text
        assert len(str(caught.value)) < 500, "the message must not repeat a huge name"


@pytest.mark.parametrize("partition", ["2012-12", "2014-01"])
def test_a_month_outside_the_declared_bounds_is_refused_with_the_bounds(partition: str) -> None:
    pipeline = make_pipeline(data={"last": "2013-12"})
    with pytest.raises(PartitionNameError, match="outside 2013-01 to 2013-12"):
        check_partition(pipeline, partition)


@pytest.mark.parametrize("text", ["2013/05", "2013@05", ".2013.05"])
def test_a_declared_format_that_is_unsafe_in_a_path_lets_nothing_through(text: str) -> None:
    format_ = text.replace("2013", "%Y").replace("05", "%m")
    pipeline = make_pipeline(data={"partition_format": format_, "first": text})
    with pytest.raises(PartitionNameError, match="not usable as a file name"):
        check_partition(pipeline, text)


@pytest.mark.parametrize("wrong", [None, 201305, ["2013-05"]])
def test_a_partition_that_is_no_text_is_refused_like_a_wrong_name(wrong: object) -> None:
    with pytest.raises(PartitionNameError):
        check_partition(make_pipeline(), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2013-05.parquet", ("2013-05", "parquet")),
        ("2013-05.csv", ("2013-05", "csv")),
        ("2013-05.xlsx", ("2013-05", None)),
        ("2013-05.PARQUET", ("2013-05", None)),
        ("2013-05", ("2013-05", None)),
        ("2013-05.parquet.gz", ("2013-05.parquet", None)),
    ],
)
def test_file_name_gives_partition_and_format(name: str, expected: tuple[str, str | None]) -> None:
    assert split_file_name(make_pipeline(), name) == expected


def test_format_that_the_pipeline_does_not_take_is_no_format() -> None:
    assert split_file_name(make_pipeline(data={"formats": ("parquet",)}), "2013-05.csv") == ("2013-05", None)


def test_name_that_is_not_utf8_can_be_stored_and_shown() -> None:
    name = b"2013-\xff.csv".decode("utf-8", "surrogateescape")
    assert show_name(name).encode() == b"2013-\\xff.csv"
    assert show_name("2013-05.csv") == "2013-05.csv"


def test_message_quotes_control_characters_and_shortens() -> None:
    assert quote_name("a\n\x1b[31m\u202eb") == repr("a\n\x1b[31m\u202eb")
    assert "\n" not in quote_name("a\nb")
    assert len(quote_name("y" * 5000)) < 90


def test_identity_of_a_file_changes_with_each_of_its_facts() -> None:
    base = Arrival("parcels", "2013-01", "/l/2013-01.csv", 10, 20, 30)
    others = [
        Arrival("parcels", "2013-01", "/l/2013-02.csv", 10, 20, 30),
        Arrival("parcels", "2013-01", "/l/2013-01.csv", 11, 20, 30),
        Arrival("parcels", "2013-01", "/l/2013-01.csv", 10, 21, 30),
        Arrival("parcels", "2013-01", "/l/2013-01.csv", 10, 20, 31),
    ]
    keys = {identify_arrival(arrival) for arrival in (base, *others)}
    assert len(keys) == 5
    assert identify_arrival(Arrival("parcels", "", "/l/2013-01.csv", 10, 20, 30)) == identify_arrival(base)
