"""Every shipped rule stops what it is for, and nothing else does; good and really defective data pass."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from include.contracts import GateReport
from include.declaration import Pipeline
from include.gates.gate import run_refresh_gate
from include.gates.schema import check_schema
from include.gates.split import split_rows
from include.gates.suites import load_suite
from include.pipelines.flight_delays.landing import write_month
from include.settings import PROJECT_ROOT, Settings, load_settings
from tests.gates.bad_frames import BAD_FEATURES, BAD_PREDICTIONS
from tests.gates.bad_refresh import BAD_REFRESHES
from tests.gates.conftest import PARTITION, Judge

SHIPPED = {
    "flight_delays_refresh": BAD_REFRESHES,
    "flight_delays_features": BAD_FEATURES,
    "flight_delays_predictions": BAD_PREDICTIONS,
}


def _list_rules(suite: str) -> list[str]:
    return [rule.name for rule in load_suite(load_settings({}), suite).rules]


def _name_stopping(report: GateReport) -> list[str]:
    return [finding.rule for finding in report.findings if finding.status != "passed"]


def _expect_only(report: GateReport, suite: str, rule: str) -> None:
    severity = next(each.severity for each in load_suite(load_settings({}), suite).rules if each.name == rule)
    assert _name_stopping(report) == [rule]
    assert [finding.status for finding in report.findings if finding.rule == rule] == ["failed"]
    assert report.verdict == ("block" if severity == "critical" else "warn")
    assert report.rules_evaluated == report.rules_declared


def test_every_shipped_suite_has_its_bad_frames() -> None:
    """A suite added without frames fails here."""
    stored = {path.stem for path in (PROJECT_ROOT / "great_expectations" / "expectations").glob("*.json")}
    assert stored == set(SHIPPED)


@pytest.mark.parametrize("suite", SHIPPED)
def test_every_rule_has_a_bad_frame(suite: str) -> None:
    """A rule added without a frame fails here, and so does a frame whose rule is gone."""
    assert list(SHIPPED[suite]) == _list_rules(suite)


@pytest.mark.parametrize("rule", BAD_REFRESHES)
def test_only_this_rule_stops_its_bad_refresh(rule: str, good_refresh: pd.DataFrame, judge_refresh: Judge) -> None:
    _expect_only(judge_refresh(BAD_REFRESHES[rule](good_refresh)), "flight_delays_refresh", rule)


@pytest.mark.parametrize("rule", BAD_FEATURES)
def test_only_this_rule_stops_its_bad_features(rule: str, good_features: pd.DataFrame, judge_features: Judge) -> None:
    _expect_only(judge_features(BAD_FEATURES[rule](good_features)), "flight_delays_features", rule)


@pytest.mark.parametrize("rule", BAD_PREDICTIONS)
def test_only_this_rule_stops_its_bad_predictions(
    rule: str, good_predictions: pd.DataFrame, judge_predictions: Judge
) -> None:
    _expect_only(judge_predictions(BAD_PREDICTIONS[rule](good_predictions)), "flight_delays_predictions", rule)


def test_good_frames_pass(
    good_refresh: pd.DataFrame,
    good_features: pd.DataFrame,
    good_predictions: pd.DataFrame,
    judge_refresh: Judge,
    judge_features: Judge,
    judge_predictions: Judge,
) -> None:
    """The frames that are spoilt one by one above are themselves accepted, without a single remark."""
    reports = [judge_refresh(good_refresh), judge_features(good_features), judge_predictions(good_predictions)]
    assert [(report.verdict, report.findings) for report in reports] == [("pass", ())] * 3


def test_real_months_pass_with_their_real_defects(
    settings: Settings, declared: Pipeline, month_features: pd.DataFrame, judge_features: Judge, tmp_path_factory
) -> None:
    """Cancelled flights, odd tail numbers and the 17-mile flight (July) are the data's own and must not block."""
    from include.contracts import Refresh
    from include.pipelines.flight_delays.landing import read_flights

    flights = read_flights()
    folder = tmp_path_factory.mktemp("months")
    for partition in ("2013-02", "2013-07"):
        path = write_month(partition, folder, flights)
        refresh = Refresh("flight_delays", partition, "b" * 64, str(path), "parquet", path.stat().st_size, "test")
        assert check_schema(settings, declared, refresh).verdict == "pass"
        report = run_refresh_gate(settings, declared, refresh)
        assert (report.verdict, report.findings) == ("pass", ())
    assert flights["distance"].min() == 17
    assert judge_features(month_features).verdict == "pass"


def test_a_stale_month_is_stopped_by_its_dates(
    settings: Settings, declared: Pipeline, month: pd.DataFrame, tmp_path_factory
) -> None:
    """February's file under March's name: the rule on the month counts every row."""
    from include.contracts import Refresh

    path = tmp_path_factory.mktemp("stale") / "2013-03.parquet"
    month.to_parquet(path, index=False)
    refresh = Refresh("flight_delays", "2013-03", "c" * 64, str(path), "parquet", path.stat().st_size, "test")
    report = run_refresh_gate(settings, declared, refresh)
    (finding,) = [each for each in report.findings if each.status == "failed"]
    assert finding.rule == "expect_column_values_to_be_between(month)"
    assert finding.unexpected_count == len(month)
    assert finding.examples == ("2",)
    assert report.verdict == "block"


def test_few_bad_rows_are_set_aside_and_the_rest_is_kept(
    settings: Settings, declared: Pipeline, month: pd.DataFrame, tmp_path_factory
) -> None:
    """S3: half a percent of impossible distances, which one percent tolerates: warn, quarantine, lose nothing."""
    from include.contracts import Refresh

    bad = len(month) // 200
    spoilt = month.copy()
    spoilt.loc[: bad - 1, "distance"] = 99999
    path = tmp_path_factory.mktemp("few") / f"{PARTITION}.parquet"
    spoilt.to_parquet(path, index=False)
    refresh = Refresh("flight_delays", PARTITION, "d" * 64, str(path), "parquet", path.stat().st_size, "test")
    report = run_refresh_gate(settings, declared, refresh)
    assert report.verdict == "warn"
    rule = "expect_column_values_to_be_between(distance)"
    assert [(each.rule, each.status, each.unexpected_count) for each in report.findings] == [(rule, "passed", bad)]
    split = split_rows(settings, declared, refresh)
    assert (split.landed, split.kept, split.quarantined) == (len(month), len(month) - bad, bad)
    assert split.reasons == {rule: bad}
    quarantined = pd.read_parquet(split.quarantined_path)
    assert set(quarantined["distance"]) == {99999}
    assert [list(reasons) for reasons in quarantined["_failed"]] == [[rule]] * bad
    assert len(pd.read_parquet(split.kept_path)) == split.kept


def test_more_bad_rows_than_declared_block(
    settings: Settings, declared: Pipeline, month: pd.DataFrame, tmp_path_factory
) -> None:
    """Each rule tolerates its rows, but together they are more than the declaration allows to set aside."""
    from include.contracts import Refresh

    share = len(month) * 8 // 1000
    spoilt = month.copy()
    spoilt.loc[: share - 1, "distance"] = 99999
    flown = spoilt.index[spoilt["dep_delay"].notna() & (spoilt.index > share)][:share]
    spoilt.loc[flown, "dep_delay"] = 9999.0
    path = tmp_path_factory.mktemp("many") / f"{PARTITION}.parquet"
    spoilt.to_parquet(path, index=False)
    refresh = Refresh("flight_delays", PARTITION, "e" * 64, str(path), "parquet", path.stat().st_size, "test")
    report = run_refresh_gate(settings, declared, refresh)
    (stopping,) = [each for each in report.findings if each.status != "passed"]
    assert (report.verdict, stopping.rule, stopping.unexpected_count) == ("block", "quarantine(max_share)", 2 * share)


def test_the_same_rules_block_on_csv(
    settings: Settings, pipeline: Pipeline, good_refresh: pd.DataFrame, tmp_path_factory
) -> None:
    """A month as CSV is read with the declared types: good passes the same, one bad origin is found the same."""
    from include.contracts import Refresh

    path = tmp_path_factory.mktemp("csv") / f"{PARTITION}.csv"
    good_refresh.to_csv(path, index=False)
    refresh = Refresh("flight_delays", PARTITION, "f" * 64, str(path), "csv", path.stat().st_size, "test")
    assert check_schema(settings, pipeline, refresh).verdict == "pass"
    assert run_refresh_gate(settings, pipeline, refresh).findings == ()
    good_refresh.replace({"origin": {"JFK": "XXX"}}).to_csv(path, index=False)
    report = run_refresh_gate(settings, pipeline, replace(refresh, size=path.stat().st_size))
    assert _name_stopping(report) == ["expect_column_values_to_be_in_set(origin)"]
