"""The comparisons of a blessing. Each gives a Check whose detail is a sentence; what is not a number never passes."""

from __future__ import annotations

import math

from include.blessing.bootstrap import bootstrap_difference
from include.blessing.rows import ScoredRows
from include.contracts import Check, CheckKind, CheckStatus, GateReport, TrainedModel, TrainingSet
from include.declaration.models import Change, Pipeline, Threshold
from include.metrics import DESCRIPTIVE, METRICS, measure_metric


def show(value: float) -> str:
    """A figure for a sentence: four decimals, a real minus, NaN and infinity by name."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite"
    return f"{value:.4f}".replace("-", "−")


def _error(name: str, kind: CheckKind, detail: str, observed: float | None = None) -> Check:
    return Check(name, kind, "error", observed=observed, detail=detail)


def check_rows(training_set: TrainingSet, rows: ScoredRows) -> list[Check]:
    """Every row of the holdout must have been scored; nothing is said when it was."""
    if len(rows.labels) == training_set.holdout_rows:
        return []
    detail = (
        f"The candidate's predictions cover {len(rows.labels)} rows, while the holdout {training_set.holdout} has "
        f"{training_set.holdout_rows}."
    )
    return [_error("holdout rows", "value", detail)]


def _recompute(metric: str, rows: ScoredRows, candidate: TrainedModel) -> tuple[float, str | None]:
    """The metric of the stored predictions, and what is wrong with it, if anything."""
    if metric not in METRICS:
        return math.nan, f"{metric} is not a metric; there are {', '.join(METRICS)}."
    if metric not in candidate.metrics:
        return math.nan, f"{metric} is missing from the candidate's logged figures."
    logged, observed = candidate.metrics[metric], measure_metric(metric, rows.labels, rows.scores)
    if not math.isfinite(observed) or not math.isfinite(logged):
        bad = observed if not math.isfinite(observed) else logged
        return bad, f"{metric} of {candidate.candidate} is {show(bad)}, so it cannot be judged."
    if not math.isclose(observed, logged, rel_tol=1e-9, abs_tol=1e-9):
        return observed, f"{metric} was logged as {show(logged)}, but the stored predictions give {show(observed)}."
    return observed, None


def check_value(
    metric: str, threshold: Threshold, rows: ScoredRows, candidate: TrainedModel, partition: str
) -> list[Check]:
    """One check for each declared bound of one metric on the holdout."""
    observed, problem = _recompute(metric, rows, candidate)
    checks = []
    for bound, sign, symbol, word in ((threshold.minimum, 1, "≥", "below"), (threshold.maximum, -1, "≤", "above")):
        if bound is None:
            continue
        name = f"{metric} {symbol} {bound:g}"
        if problem is not None:
            checks.append(_error(name, "value", problem, observed))
            continue
        passed = sign * (observed - bound) >= 0
        side = f"not {word}" if passed else word
        limit = "minimum" if sign > 0 else "maximum"
        detail = f"{metric} {show(observed)} on {partition} is {side} the declared {limit} {bound:g}."
        checks.append(Check(name, "value", "pass" if passed else "fail", observed, bound, detail=detail))
    return checks


def check_primary(metric: str, rows: ScoredRows, candidate: TrainedModel) -> list[Check]:
    """The metric that chose the candidate must have a value, also where no bound is declared for it."""
    observed, problem = _recompute(metric, rows, candidate)
    return [] if problem is None else [_error(metric, "value", problem, observed)]


def check_change(
    change: Change, candidate: ScoredRows, champion: ScoredRows, version: str, partition: str, seed: int
) -> Check:
    """Not worse than the champion on the same rows: the interval's lower bound must be above −margin."""
    name = f"{change.metric} against champion {version}"
    if change.metric not in METRICS or change.metric in DESCRIPTIVE:
        return _error(name, "change", f"{change.metric} is not a metric of which one value is better than another.")
    ours = measure_metric(change.metric, candidate.labels, candidate.scores)
    theirs = measure_metric(change.metric, champion.labels, champion.scores)
    found = bootstrap_difference(candidate, champion, change.metric, change.confidence, change.resamples, seed)
    if not all(math.isfinite(value) for value in (ours, theirs, found.observed, found.low, found.high)):
        detail = (
            f"{change.metric} on {partition} cannot be compared: the candidate's is {show(ours)}, the champion's "
            f"{show(theirs)}, the lower bound of the difference is {show(found.low)}."
        )
        return _error(name, "change", detail, found.observed)
    passed = found.low > -change.margin
    word = "the same as" if ours == theirs else "better than" if found.observed > 0 else "worse than"
    drawn = f"{found.days} days drawn again" if found.days > 1 else "one day only, so rows were drawn again"
    # A margin of 0 asks for an improvement, and "above −0" would read as nonsense.
    limit = f"−{change.margin:g}" if change.margin else "0"
    detail = (
        f"{change.metric} {show(ours)} on {partition} is {word} the champion's {show(theirs)}: the difference "
        f"(positive is better) is {show(found.low)} to {show(found.high)} ({change.confidence:.0%} interval, {drawn}), "
        f"and its lower bound is {'above' if passed else 'not above'} {limit}, the declared margin."
    )
    status: CheckStatus = "pass" if passed else "fail"
    return Check(name, "change", status, found.observed, -change.margin, found.low, found.high, detail)


def check_calibration(pipeline: Pipeline, rows: ScoredRows) -> list[Check]:
    """|mean prediction − share of positives| within the declared gap; nothing when none is declared."""
    declared = pipeline.blessing.calibration
    if declared is None:
        return []
    name = f"calibration gap ≤ {declared.max_gap:g}"
    gap = measure_metric("calibration_gap", rows.labels, rows.scores)
    mean, rate = (measure_metric(metric, rows.labels, rows.scores) for metric in ("mean_prediction", "base_rate"))
    if not math.isfinite(gap):
        return [_error(name, "calibration", f"The calibration gap is {show(gap)}, so it cannot be judged.", gap)]
    passed = gap <= declared.max_gap
    detail = (
        f"The mean prediction {show(mean)} is {show(gap)} from the share of positives {show(rate)}; "
        f"{'within' if passed else 'more than'} the declared {declared.max_gap:g}."
    )
    return [Check(name, "calibration", "pass" if passed else "fail", gap, declared.max_gap, detail=detail)]


def _find_gap(training_set: TrainingSet, report: GateReport) -> str | None:
    if report.gate != "predictions":
        return f"the report given is of the gate {report.gate}"
    if report.rows != training_set.holdout_rows:
        return f"they saw {report.rows} of {training_set.holdout_rows} rows"
    if report.rules_declared == 0 or report.rules_evaluated != report.rules_declared:
        return f"{report.rules_evaluated} of {report.rules_declared} declared rules were evaluated"
    return None


def check_rules(training_set: TrainingSet, report: GateReport | None) -> list[Check]:
    """The business rules on the predictions: each one that failed or errored by name, and that all were evaluated."""
    if report is None:
        return [_error("business rules", "rule", "The business rules on the predictions were not evaluated.")]
    checks: list[Check] = []
    for finding in report.findings:
        if finding.status == "passed":
            continue
        name = f"rule {finding.rule}"
        counted = f" in {finding.unexpected_count} rows" if finding.unexpected_count else ""
        seen = f" (observed {finding.observed})" if finding.observed else ""
        because = f": {finding.detail}" if finding.detail else ""
        if finding.status == "errored":
            checks.append(_error(name, "rule", f"The business rule {finding.rule} could not be evaluated{because}."))
        elif finding.severity == "critical":
            detail = f"The predictions break the business rule {finding.rule}{counted}{seen}{because}."
            checks.append(Check(name, "rule", "fail", detail=detail))
        else:
            detail = f"The predictions break the rule {finding.rule}{counted}{seen}{because}; it only warns."
            checks.append(Check(name, "rule", "pass", detail=detail))
    gap = _find_gap(training_set, report)
    if gap is not None:
        checks.append(_error("business rules", "rule", f"The business rules do not count as evaluated: {gap}."))
    elif report.verdict == "block" and all(check.status == "pass" for check in checks):
        checks.append(Check("business rules", "rule", "fail", detail="The gate on the predictions blocked them."))
    elif not checks:
        detail = f"Business rules on the predictions: {report.rules_evaluated} of {report.rules_evaluated} hold."
        checks.append(Check("business rules", "rule", "pass", float(report.rules_evaluated), detail=detail))
    return checks
