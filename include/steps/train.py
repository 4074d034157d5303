"""A window of validated partitions to a registered, blessed model version, or to a refusal with its reasons."""

from __future__ import annotations

from pathlib import Path

from include.blessing.bless import bless_candidate
from include.contracts import (
    Blessing,
    GateReport,
    ModelVersion,
    RunIdentity,
    TrainedModel,
    TrainingSet,
    Window,
    pack,
)
from include.data.publish import find_partition
from include.data.trainings import lift_stop, note_stop
from include.declaration.models import Pipeline
from include.errors import SuiteInvalid
from include.gates.gate import raise_if_blocked, run_frame_gate
from include.gates.verdict import blocks
from include.links import link_report
from include.records import write_record
from include.settings import Settings
from include.steps.search import plan_search
from include.tracking.entries import log_metrics, read_tags, set_note, set_tags
from include.tracking.models import download_model
from include.tracking.registry import get_champion, register_version, set_challenger
from include.tracking.runs import close_run, log_blessing, open_run
from include.training.fit import fit_candidate
from include.training.score import score_holdout
from include.training.select import select_best

FEATURES_TAG = "tollgate.features_gate"
# What a training's runs say about their data: the newest partition, each one's version, hash and gate, the window.
_DATA_TAGS = ("tollgate.partition", "tollgate.gate.", "tollgate.window_digest", FEATURES_TAG)


def count_threads(settings: Settings, pipeline: Pipeline) -> int:
    """Threads per fit = cores ÷ fits that run side by side (two fits with two threads each on two cores cost 10×)."""
    side_by_side = min(len(pipeline.training.candidates), settings.cores)
    return max(1, settings.cores // side_by_side)


def make_tags(identity: RunIdentity) -> dict[str, str]:
    """Tags that lead from an MLflow run back to the task that made it."""
    return {
        "airflow.dag_id": identity.dag_id,
        "airflow.run_id": identity.run_id,
        "airflow.task_id": identity.task_id,
        "airflow.map_index": str(identity.map_index),
        "airflow.try_number": str(identity.try_number),
        "airflow.url": identity.url,
        # What MLflow's list of runs shows as their source.
        "mlflow.source.name": identity.dag_id,
        "mlflow.source.type": "JOB",
    }


def open_training(settings: Settings, pipeline: Pipeline, window: Window, identity: RunIdentity) -> str:
    """The parent MLflow run of this DAG run: one per run, reopened by a retry."""
    tags = make_tags(identity) | {
        "tollgate.pipeline": pipeline.name,
        "tollgate.partition": window.key,
        "tollgate.window_digest": window.digest,
    }
    for partition in window.partitions:
        tags[f"tollgate.partition.{partition.partition}"] = f"{partition.version} sha256={partition.fingerprint}"
        docs = link_report(settings, partition.docs_path)
        tags[f"tollgate.gate.{partition.partition}"] = f"{partition.verdict} {docs}"
    key = f"{identity.dag_id}/{identity.run_id}"
    return open_run(settings, pipeline.name, key, window.key, tags)


def _store_evidence(settings: Settings, report: GateReport, parent_run_id: str, identity: RunIdentity) -> None:
    """Lead to the page of the features gate from the task (by the ledger) and from the training's run in MLflow."""
    evidence = {
        "partition": report.subject,
        "verdict": report.verdict,
        "report_path": report.report_path,
        "docs_path": report.docs_path,
        "run_id": identity.run_id,
        "run_url": identity.url,
    }
    write_record(settings, report.pipeline, "features", Path(report.report_path).stem, evidence)
    docs = link_report(settings, report.docs_path)
    set_tags(settings, parent_run_id, {FEATURES_TAG: f"{report.verdict} {docs}"})
    if report.verdict == "block":
        # Names of rules only: what the data holds must not become text of the page.
        rules = ", ".join(finding.rule for finding in report.findings if blocks(finding))
        links = f"[data docs of the features]({docs}) · [Task in Airflow]({identity.url})"
        set_note(
            settings, parent_run_id, f"Not trained: the features of {report.subject} are blocked by {rules}.\n\n{links}"
        )


def gate_features(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, parent_run_id: str, identity: RunIdentity
) -> GateReport:
    """The second look: on the features that the fits will see.

    Raises GateBlocked, or SuiteInvalid, after the evidence is stored and linked.
    """
    try:
        report = run_frame_gate(
            settings,
            pipeline,
            "features",
            pipeline.training.features_suite,
            pipeline.training.features_suite_parameters,
            str(Path(training_set.folder) / "features.parquet"),
            training_set.partition,
        )
    except SuiteInvalid as error:
        _store_evidence(settings, error.report, parent_run_id, identity)
        raise
    _store_evidence(settings, report, parent_run_id, identity)
    raise_if_blocked(report)
    return report


def open_candidate(
    settings: Settings, pipeline: Pipeline, candidate: str, parent_run_id: str, identity: RunIdentity
) -> str:
    """The MLflow child run of one candidate in this DAG run, reopened by a retry and by another rung."""
    key = f"{identity.dag_id}/{identity.run_id}/{candidate}"
    # A version is made from this run, so what it was made of must be read here and not only on the parent.
    inherited = {
        name: value for name, value in read_tags(settings, parent_run_id).items() if name.startswith(_DATA_TAGS)
    }
    tags = make_tags(identity) | inherited | {"tollgate.candidate": candidate, "tollgate.pipeline": pipeline.name}
    return open_run(settings, pipeline.name, key, candidate, tags, parent_run_id=parent_run_id)


def fit_opened(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate: str,
    run_id: str,
    identity: RunIdentity,
    rung: str | None = None,
    elapsed: float = 0.0,
) -> TrainedModel:
    """Fit one candidate in its open run, on the ladder's lowest rung or on ``rung``, and close it.

    ``elapsed`` is the seconds since the DAG run was queued, by which a search knows when to stop.
    """
    ladder, dag_run = pipeline.training.ladder, f"{identity.dag_id}/{identity.run_id}"
    place = ladder.find(rung) if rung else ladder.rungs[0]
    trained = fit_candidate(
        settings,
        pipeline,
        training_set,
        candidate,
        run_id,
        threads=count_threads(settings, pipeline),
        rung=rung,
        dag_run=dag_run,
        plan=plan_search(settings, pipeline, training_set, candidate, place, dag_run, elapsed),
    )
    close_run(settings, run_id, "FINISHED")
    return trained


def fit_one(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate: str,
    parent_run_id: str,
    identity: RunIdentity,
    elapsed: float = 0.0,
) -> TrainedModel:
    """Fit one candidate in an MLflow child run of its own; a retry resumes the same run.

    ``elapsed`` is the seconds since the DAG run was queued, by which a search knows when to stop.
    """
    run_id = open_candidate(settings, pipeline, candidate, parent_run_id, identity)
    return fit_opened(settings, pipeline, training_set, candidate, run_id, identity, elapsed=elapsed)


def _link_evidence(
    settings: Settings, training_set: TrainingSet, rules: GateReport, identity: RunIdentity
) -> dict[str, str]:
    """Pages behind a blessing: who gave it, and the data docs of the newest partition and of the predictions."""
    newest = find_partition(settings, training_set.pipeline, training_set.partition)
    links = {
        "Task in Airflow": identity.url,
        f"data docs of {training_set.partition}": link_report(settings, newest.docs_path) if newest else "",
        "data docs of the predictions": link_report(settings, rules.docs_path),
    }
    return {label: url for label, url in links.items() if url}


def bless_best(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    trained: list[TrainedModel],
    parent_run_id: str,
    identity: RunIdentity,
) -> Blessing:
    """Choose the best candidate, judge it beside the champion on the same rows, and store the verdict everywhere."""
    # They come in the order in which they were fitted, which follows the champion.
    declared = [candidate.name for candidate in pipeline.training.candidates]
    trained = sorted(trained, key=lambda model: declared.index(model.candidate))
    best = select_best(trained, pipeline.blessing.primary_metric)
    champion = get_champion(settings, pipeline.name)
    champion_predictions = None
    if champion is not None:
        model_dir = download_model(
            settings, champion.model_uri, settings.work_root / pipeline.name / "models" / champion.version
        )
        champion_predictions = score_holdout(training_set, model_dir, f"champion-{champion.version}")
    rules = run_frame_gate(
        settings,
        pipeline,
        "predictions",
        pipeline.blessing.predictions_suite,
        pipeline.blessing.predictions_suite_parameters,
        best.predictions_path,
        training_set.partition,
    )
    blessing = bless_candidate(
        pipeline, training_set, best, champion.version if champion else None, champion_predictions, rules
    )
    # A month's line in MLflow's list of runs shows what its best candidate reached.
    log_metrics(settings, parent_run_id, best.metrics)
    log_blessing(settings, parent_run_id, blessing, _link_evidence(settings, training_set, rules, identity))
    write_record(
        settings,
        pipeline.name,
        "blessing",
        blessing.candidate_run_id,
        {
            "partition": blessing.partition,
            "blessed": blessing.blessed,
            "reasons": list(blessing.reasons),
            "candidate": blessing.candidate,
            "champion_version": blessing.champion_version,
            "holdout": training_set.holdout,
            "metrics": dict(best.metrics),
            "candidates": {model.candidate: dict(model.metrics) for model in trained},
            "checks": pack(blessing.checks),
            "report_path": rules.report_path,
            "window_digest": blessing.window_digest,
            "run_id": identity.run_id,
            "run_url": identity.url,
        },
    )
    return blessing


def register_blessed(
    settings: Settings, pipeline: Pipeline, blessing: Blessing, training_set: TrainingSet
) -> ModelVersion:
    """Register the blessed candidate (a re-run adopts its version) and name it challenger."""
    version = register_version(settings, pipeline, blessing, training_set)
    set_challenger(settings, pipeline.name, version.version)
    return version


def finish_training(settings: Settings, pipeline: Pipeline, parent_run_id: str, succeeded: bool) -> None:
    """Close the parent run and sweep children that a killed task left running."""
    close_run(settings, parent_run_id, "FINISHED" if succeeded else "FAILED", sweep_children=True)


def settle_claim(settings: Settings, pipeline: Pipeline, identity: RunIdentity, stopped_because: str) -> None:
    """Say in the ledger how the run's claim on its window ended: with a verdict, or, and why, without one.

    Then the page says so, and another run may train on the window. A repeat replaces it.
    """
    claimed_by = f"{identity.dag_id}/{identity.run_id}"
    if stopped_because:
        note_stop(settings, pipeline.name, claimed_by, stopped_because)
    else:
        lift_stop(settings, pipeline.name, claimed_by)
