"""Each cause of refusal alone refuses, in a sentence with its numbers; noise alone does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from include.contracts import Blessing, RuleFinding, pack, unpack
from include.declaration import BlessingRules, Calibration, Change, Pipeline, Slice, Threshold
from include.describe import describe_blessing
from tests.unit.blessing.factory import ROWS, Bench, make_report, make_scored
from tests.unit.factory import make_pipeline


def make_rules(**changes: object) -> Pipeline:
    parts = {
        "value": {"roc_auc": Threshold(minimum=0.6), "brier": Threshold(maximum=0.25)},
        "change": Change(resamples=200),
        "slices": (Slice(column="depot", minimum=0.6, margin=0.05, required=("north", "south")),),
        "predictions_suite": "parcels_predictions",
        "calibration": Calibration(max_gap=0.1),
    }
    return make_pipeline(blessing=BlessingRules(**{**parts, **changes}))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(make_rules(), tmp_path)


def assert_refused(blessing: Blessing, reason: str, checks: int | None = 1) -> None:
    assert not blessing.blessed
    assert reason in " ".join(blessing.reasons)
    if checks is not None:
        wrong = [check for check in blessing.checks if check.status in ("fail", "error")]
        assert len(wrong) == checks, wrong
        assert len(blessing.reasons) == checks


def test_a_good_candidate_is_blessed_with_reasons(bench: Bench) -> None:
    blessing = bench.bless()
    assert blessing.blessed, blessing.reasons
    assert {check.kind for check in blessing.checks} == {"value", "change", "slice", "calibration", "rule"}
    assert all(check.status == "pass" for check in blessing.checks)
    assert all(reason.endswith(".") for reason in blessing.reasons)
    assert unpack(Blessing, pack(blessing)) == blessing
    assert blessing.champion_version == "7"


@pytest.mark.parametrize("seed", range(8))
def test_noise_alone_does_not_refuse(bench: Bench, seed: int) -> None:
    bench.candidate = make_scored(seed=seed, noise_seed=100)
    bench.champion = make_scored(seed=seed, noise_seed=200)
    bench.pipeline = make_rules(slices=(), change=Change(resamples=200, margin=0.02))
    blessing = bench.bless()
    assert blessing.blessed, blessing.reasons


def test_without_a_champion_the_values_decide_alone(bench: Bench) -> None:
    bench.champion = None
    blessing = bench.bless()
    assert blessing.blessed
    (change,) = (check for check in blessing.checks if check.kind == "change")
    assert change.status == "not_evaluated"


def test_a_value_beyond_its_threshold_refuses(bench: Bench) -> None:
    bench.pipeline = make_rules(value={"roc_auc": Threshold(minimum=0.95)})
    blessing = bench.bless()
    assert_refused(blessing, "on 2013-03 is below the declared minimum 0.95.")
    bench.pipeline = make_rules(value={"brier": Threshold(maximum=0.01)})
    assert_refused(bench.bless(), "above the declared maximum 0.01.")


def test_worse_than_the_champion_refuses_with_the_interval_and_the_margin(bench: Bench) -> None:
    bench.champion = make_scored(strength=3.0)
    bench.pipeline = make_rules(slices=())
    blessing = bench.bless()
    assert_refused(blessing, "is worse than the champion's")
    (change,) = (check for check in blessing.checks if check.kind == "change")
    assert change.low is not None and change.high is not None and change.observed is not None
    assert change.low < change.observed < change.high < 0
    assert change.threshold == -0.005
    assert f"{change.low:.4f}".replace("-", "−") in blessing.reasons[0]
    assert "not above −0.005" in blessing.reasons[0]


def test_where_lower_is_better_the_sign_is_turned(bench: Bench) -> None:
    bench.pipeline = make_rules(change=Change(metric="brier", margin=0.001, resamples=200), slices=())
    bench.candidate = make_scored(strength=0.2)
    bench.champion = make_scored(strength=1.2)
    assert_refused(bench.bless(), "brier")
    bench.candidate, bench.champion = bench.champion, bench.candidate
    assert bench.bless().blessed


def test_one_bad_slice_refuses_while_the_whole_looks_good(bench: Bench) -> None:
    south = (bench.candidate["depot"] == "south").to_numpy() & (np.arange(ROWS) % 3 == 0)
    bench.candidate["depot"] = np.where(south, "island", bench.candidate["depot"])
    bench.candidate.loc[south, "prediction"] = 1 - bench.candidate.loc[south, "prediction"]
    bench.champion = None
    bench.pipeline = make_rules(
        slices=(Slice(column="depot", minimum=0.55, min_rows=200),), value={"roc_auc": Threshold(minimum=0.6)}
    )
    bench.pipeline = bench.pipeline.model_copy(
        update={"blessing": bench.pipeline.blessing.model_copy(update={"calibration": None})}
    )
    assert_refused(bench.bless(), "for depot = island")


def test_a_slice_worse_than_the_champion_beyond_its_margin_refuses(bench: Bench) -> None:
    north = (bench.candidate["depot"] == "north").to_numpy()
    worse = make_scored(strength=0.2)["prediction"]
    bench.candidate["prediction"] = np.where(north, worse, bench.candidate["prediction"])
    bench.pipeline = make_rules(
        value={"roc_auc": Threshold(minimum=0.5)},
        change=Change(resamples=100, margin=0.5),
        slices=(Slice(column="depot", minimum=0.5, margin=0.05),),
    )
    blessing = bench.bless()
    assert_refused(blessing, "for depot = north", checks=1)
    assert "beyond the declared margin 0.05" in blessing.reasons[0]


def test_a_slice_with_too_few_rows_is_listed_and_one_required_refuses(bench: Bench) -> None:
    bench.candidate.loc[:9, "depot"] = "island"
    assert bench.champion is not None
    blessing = bench.bless()
    assert blessing.blessed
    (island,) = (check for check in blessing.checks if check.name == "depot = island")
    assert (island.status, "10 rows of 500" in island.detail) == ("not_evaluated", True)
    bench.pipeline = make_rules(slices=(Slice(column="depot", minimum=0.6, required=("island",)),))
    assert_refused(bench.bless(), "The required slice depot = island has too few rows")


def test_a_required_slice_that_does_not_occur_refuses(bench: Bench) -> None:
    bench.pipeline = make_rules(slices=(Slice(column="depot", required=("moon",)),))
    assert_refused(bench.bless(), "depot = moon does not occur")


def test_a_slice_of_a_single_class_is_not_evaluated_and_refuses_when_required(bench: Bench) -> None:
    chosen = (bench.candidate["label"] == 0).to_numpy() & (bench.candidate["depot"] == "south").to_numpy()
    bench.candidate.loc[chosen, "depot"] = "island"
    bench.pipeline = make_rules(slices=(Slice(column="depot", minimum=0.5),))
    bench.candidate["depot"] = bench.candidate["depot"].replace({"south": "north"})
    blessing = bench.bless()
    assert blessing.blessed, blessing.reasons
    assert any(c.status == "not_evaluated" and "0 positive rows of 50" in c.detail for c in blessing.checks)
    bench.pipeline = make_rules(slices=(Slice(column="depot", minimum=0.5, required=("island",)),))
    assert_refused(bench.bless(), "0 positive rows of 50")


def test_missing_values_are_a_slice_of_their_own(bench: Bench) -> None:
    bench.candidate.loc[bench.candidate["depot"] == "south", "depot"] = None
    bench.pipeline = make_rules(slices=(Slice(column="depot", minimum=0.6),))
    names = [check.name for check in bench.bless().checks if check.kind == "slice"]
    assert names == ["depot = missing roc_auc ≥ 0.6", "depot = north roc_auc ≥ 0.6"]


def test_an_uncalibrated_candidate_refuses(bench: Bench) -> None:
    bench.candidate["prediction"] = bench.candidate["prediction"] ** 4
    bench.pipeline = make_rules(value={"roc_auc": Threshold(minimum=0.6)})
    assert_refused(bench.bless(), "from the share of positives")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logged_figure_that_is_no_number_refuses(bench: Bench, bad: float) -> None:
    bench.change_metrics = lambda metrics: metrics.update(roc_auc=bad)
    assert_refused(bench.bless(), "so it cannot be judged")


def test_a_missing_figure_and_one_that_was_not_measured_so_refuse(bench: Bench) -> None:
    bench.change_metrics = lambda metrics: metrics.pop("roc_auc")
    assert_refused(bench.bless(), "roc_auc is missing from the candidate's logged figures")
    bench.change_metrics = lambda metrics: metrics.update(roc_auc=0.99)
    assert_refused(bench.bless(), "was logged as 0.9900")


def test_the_figure_that_chose_the_candidate_needs_a_value_even_without_a_bound(bench: Bench) -> None:
    bench.champion = None
    bench.pipeline = make_rules(value={"brier": Threshold(maximum=0.25)}, slices=())
    assert bench.bless().blessed
    bench.change_metrics = lambda metrics: metrics.update(roc_auc=math.nan)
    assert_refused(bench.bless(), "roc_auc of trees is not a number, so it cannot be judged.")


def test_one_prediction_that_is_no_number_refuses_everywhere(bench: Bench) -> None:
    bench.candidate.loc[5, "prediction"] = math.nan
    blessing = bench.bless()
    assert_refused(blessing, "not a number", checks=None)
    assert {c.kind for c in blessing.checks if c.status == "error"} == {"value", "change", "slice", "calibration"}


def test_a_champion_without_numbers_refuses(bench: Bench) -> None:
    assert bench.champion is not None
    bench.champion.loc[5, "prediction"] = math.nan
    assert_refused(bench.bless(), "the champion's not a number", checks=None)


@pytest.mark.parametrize("spoil", ["rows", "days", "labels"])
def test_a_champion_scored_on_other_rows_refuses(bench: Bench, spoil: str) -> None:
    assert bench.champion is not None
    if spoil == "rows":
        bench.champion = bench.champion.iloc[:-1]
    elif spoil == "days":
        bench.champion.loc[0, "event_day"] = "2013-02-01"
    else:
        bench.champion.loc[0, "label"] = 1 - bench.champion.loc[0, "label"]
    assert_refused(bench.bless(), "was not scored on the candidate's rows")


def test_predictions_that_do_not_cover_the_holdout_refuse(bench: Bench) -> None:
    bench.holdout_rows = ROWS + 1
    bench.report = make_report(ROWS + 1)
    assert_refused(bench.bless(), f"{ROWS} rows, while the holdout 2013-03 has {ROWS + 1}")


def test_each_broken_business_rule_is_named(bench: Bench) -> None:
    outside = RuleFinding("probability_in_range", "failed", "critical", unexpected_count=4)
    odd = RuleFinding("not_constant", "errored", "warning", detail="no column")
    soft = RuleFinding("rarely_certain", "failed", "warning")
    bench.report = make_report(ROWS, outside, odd, soft, verdict="block")
    blessing = bench.bless()
    assert_refused(blessing, "break the business rule probability_in_range in 4 rows", checks=2)
    assert "not_constant could not be evaluated: no column" in blessing.reasons[1]
    bench.report = make_report(ROWS, soft, verdict="warn")
    assert bench.bless().blessed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": "block"}, "blocked them"),
        ({"rules_evaluated": 2}, "2 of 3 declared rules were evaluated"),
        ({"rules_declared": 0, "rules_evaluated": 0}, "0 of 0"),
        ({"rows": 10}, "they saw 10 of 3000 rows"),
        ({"gate": "refresh"}, "of the gate refresh"),
    ],
)
def test_a_report_that_does_not_stand_for_the_rules_refuses(
    bench: Bench, changes: dict[str, object], reason: str
) -> None:
    bench.report = make_report(**{"rows": ROWS, **changes})
    assert_refused(bench.bless(), reason)


def test_no_report_refuses(bench: Bench) -> None:
    bench.report = None
    assert_refused(bench.bless(), "were not evaluated")


@pytest.mark.parametrize(
    "rules",
    [
        {"value": {"f17": Threshold(minimum=0.1)}},
        {"change": Change(metric="f17")},
        {"change": Change(metric="base_rate")},
        {"slices": (Slice(column="depot", metric="f17"),)},
        {"slices": (Slice(column="depot", metric="brier", minimum=0.1),)},
        {"slices": (Slice(column="depot", metric="base_rate", margin=0.1),)},
        {"slices": (Slice(column="weight"),)},
    ],
)
def test_a_rule_that_cannot_be_applied_refuses_instead_of_passing(bench: Bench, rules: dict[str, object]) -> None:
    bench.pipeline = make_rules(**rules)
    assert_refused(bench.bless(), "")


def test_the_description_shows_what_decided_first_and_escapes_data(bench: Bench) -> None:
    bench.candidate.loc[bench.candidate["depot"] == "south", "depot"] = "<img src=x>|"
    bench.pipeline = make_rules(value={"roc_auc": Threshold(minimum=0.99)}, slices=(Slice(column="depot"),))
    text = describe_blessing(bench.bless())
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert text.startswith("Not blessed: trees of 2013-03")
    assert rows[1].startswith("| roc_auc ≥ 0.99 | **fail** |")
    assert "<img" not in text
    assert "&lt;img src=x&gt;\\|" in text
