"""One candidate's verdict: every comparison made, then blessed only if none failed and none is without an answer."""

from __future__ import annotations

from include.blessing.checks import check_calibration, check_change, check_primary, check_rows, check_rules, check_value
from include.blessing.rows import ScoredRows, find_difference, read_scored_rows
from include.blessing.slices import check_slice
from include.contracts import Blessing, Check, GateReport, TrainedModel, TrainingSet
from include.declaration.models import Pipeline


def _compare(
    pipeline: Pipeline,
    training_set: TrainingSet,
    rows: ScoredRows,
    version: str | None,
    predictions: str | None,
) -> tuple[Check, ScoredRows | None]:
    """The change check, and the champion's rows when slices may be compared with them."""
    change = pipeline.blessing.change
    name = f"{change.metric} against the champion"
    if version is None and predictions is None:
        return Check(name, "change", "not_evaluated", detail="There is no champion yet to compare with."), None
    if version is None or predictions is None:
        detail = "The champion was not scored on the holdout, so the candidate cannot be compared with it."
        return Check(name, "change", "error", detail=detail), None
    champion = read_scored_rows(predictions)
    difference = find_difference(rows, champion)
    if difference is not None:
        detail = f"The champion {version} was not scored on the candidate's rows: {difference}."
        return Check(name, "change", "error", detail=detail), None
    seed = pipeline.training.seed
    return check_change(change, rows, champion, version, training_set.partition, seed), champion


def _give_reasons(checks: list[Check]) -> tuple[bool, tuple[str, ...]]:
    against = [check.detail for check in checks if check.status in ("fail", "error")]
    if against:
        return False, tuple(against)
    reasons = [check.detail for check in checks if check.kind in ("value", "change", "calibration")]
    skipped = sum(check.status == "not_evaluated" and check.kind == "slice" for check in checks)
    judged = sum(check.status == "pass" and check.kind == "slice" for check in checks)
    if judged or skipped:
        reasons.append(f"{judged} checks of slices hold; {skipped} slices have too few rows to be judged.")
    reasons += [check.detail for check in checks if check.kind == "rule"]
    return True, tuple(reasons)


def bless_candidate(
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate: TrainedModel,
    champion_version: str | None,
    champion_predictions: str | None,
    rules_report: GateReport | None,
) -> Blessing:
    """Judge ``candidate`` by the pipeline's declared rules on the holdout's stored predictions.

    ``champion_predictions`` is the champion's predictions file of the same rows; it and ``champion_version`` are None
    only when there is no champion. ``reasons`` are sentences: of a refusal each cause, of a blessing what speaks for
    it. Raises FileNotFoundError when a predictions file is gone; never for a figure without a value, which refuses.
    """
    rules = pipeline.blessing
    rows = read_scored_rows(candidate.predictions_path)
    checks = check_rows(training_set, rows)
    for metric, threshold in rules.value.items():
        checks += check_value(metric, threshold, rows, candidate, training_set.partition)
    if rules.primary_metric not in rules.value:
        checks += check_primary(rules.primary_metric, rows, candidate)
    change, champion = _compare(pipeline, training_set, rows, champion_version, champion_predictions)
    checks.append(change)
    for piece in rules.slices:
        checks += check_slice(piece, rows, champion)
    checks += check_calibration(pipeline, rows)
    checks += check_rules(training_set, rules_report)
    blessed, reasons = _give_reasons(checks)
    return Blessing(
        pipeline=pipeline.name,
        partition=training_set.partition,
        candidate=candidate.candidate,
        candidate_run_id=candidate.run_id,
        candidate_model_uri=candidate.model_uri,
        champion_version=champion_version,
        blessed=blessed,
        checks=tuple(checks),
        reasons=reasons,
        training_set_digest=training_set.digest,
        window_digest=training_set.window_digest,
    )
