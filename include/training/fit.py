"""One candidate: fitted, timed, evaluated on the holdout and logged, or taken over whole from an earlier try."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from include.contracts import TrainedModel, TrainingSet, pack, unpack
from include.declaration.models import Candidate, Pipeline
from include.errors import TrainingDataInvalid
from include.runtime.forecast import forecast_from, list_past_fits
from include.runtime.history import write_fit
from include.runtime.measure import Meter, measure_work
from include.runtime.plot import draw_runtime
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from include.settings import Settings
from include.tracking.datasets import LinkedDataset, log_datasets
from include.tracking.entries import log_artifact, log_json, log_metrics, log_params, read_tags, set_tags
from include.tracking.models import download_predictions, log_predictions, log_scorer
from include.training.cluster import Engine, choose_engine, fit_here
from include.training.cost import describe_fit, list_metrics
from include.training.dataset import dump_features
from include.training.estimators import build_estimator, find_candidate, fix_parameters
from include.training.evaluate import evaluate_predictions, read_rows, write_predictions
from include.training.plots import draw_plots, measure_importance
from include.training.search import search_parameters
from include.training.search_clock import SearchPlan
from include.training.storage import SET_FILE, parse_partition_versions

FITTED_TAG = "tollgate.fitted"
TRAINED_TAG = "tollgate.trained_model"
RUNG_TAG = "tollgate.rung"
THREADS_TAG = "tollgate.threads"
# The run's artifact that says what it was made of, whole: a parameter is cut where the partitions are many.
STORED_SET = f"training_set/{SET_FILE}"


def fit_scorer(
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate_name: str,
    threads: int,
    meter: Meter | None = None,
    engine: Engine = fit_here,
) -> Scorer:
    """Fit the candidate on the training rows with at most ``threads`` threads. Same inputs, same model, whatever the
    ``engine`` that does it.

    ``meter`` is told what each phase took. Raises DeclarationError (unknown candidate, parameters), TrainingDataInvalid
    when the estimator refuses the data.
    """
    meter = meter or Meter()
    candidate = find_candidate(pipeline, candidate_name)
    with meter.phase("load"):
        requests, labels, _ = read_rows(training_set, "train")
        tables_json = (Path(training_set.folder) / "tables.json").read_text()
    scorer = Scorer(RowFeatures(dump_features(pipeline), tables_json), build_estimator(pipeline, candidate, threads))
    # More threads than free cores cost ten times: two fits of two threads on two cores took 43 s instead of 4.
    with threadpool_limits(limits=threads):
        with meter.phase("features"):
            features = scorer.row_features.transform(requests)
        try:
            with meter.phase("fit"):
                scorer = engine(scorer, features, labels, threads, meter)
        except ValueError as error:
            # An empty feature makes scikit-learn's trees fail with a message about window shapes.
            empty = [str(name) for name in features.columns if features[name].isna().all()]
            hint = f"; these features have no value in any training row: {', '.join(empty)}" if empty else ""
            raise TrainingDataInvalid(
                f"Candidate {candidate_name!r} cannot be fitted on training set {training_set.digest} ({error}){hint}.",
                next_step="Correct the candidate's parameters or the features it is given.",
                measure="fit",
                candidate=candidate_name,
                empty_features=empty,
            ) from error
    return scorer


def locate_predictions(training_set: TrainingSet, candidate_name: str, run_id: str) -> Path:
    """Where the candidate's holdout predictions are kept while its training runs."""
    return Path(training_set.folder) / "predictions" / f"{candidate_name}-{run_id}.parquet"


def _resume(settings: Settings, training_set: TrainingSet, candidate_name: str, run_id: str) -> TrainedModel | None:
    tags = read_tags(settings, run_id)
    if tags.get(FITTED_TAG) != training_set.digest or TRAINED_TAG not in tags:
        return None
    stored = unpack(TrainedModel, json.loads(tags[TRAINED_TAG]))
    path = locate_predictions(training_set, candidate_name, run_id)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            download_predictions(settings, run_id, Path(scratch) / "fetched").replace(path)
    return TrainedModel(**{**stored.__dict__, "predictions_path": str(path)})


def _list_parts(training_set: TrainingSet) -> tuple[tuple[str, Literal["training", "holdout"], int, float], ...]:
    """File, what it is for, rows, base rate."""
    return (
        ("train", "training", training_set.train_rows, training_set.train_base_rate),
        ("holdout", "holdout", training_set.holdout_rows, training_set.holdout_base_rate),
    )


def _name_parameters(candidate: Candidate) -> dict[str, Any]:
    """Once as a whole, to build the same candidate again, and one by one, to compare runs in MLflow's table."""
    each = {f"parameter.{key}": value for key, value in candidate.parameters.items()}
    return {"parameters": candidate.parameters, **each}


def _log_inputs(settings: Settings, pipeline: Pipeline, training_set: TrainingSet, name: str, run_id: str) -> None:
    candidate = find_candidate(pipeline, name)
    folder = Path(training_set.folder)
    versions = parse_partition_versions((folder / SET_FILE).read_bytes())
    params: dict[str, Any] = {
        "candidate": candidate.name,
        "kind": candidate.kind,
        "function": candidate.function or "",
        "seed": pipeline.training.seed,
        "partition": training_set.partition,
        "training_set": training_set.digest,
        "window": training_set.window_digest,
        "partitions": versions,
        "holdout": training_set.holdout,
        "train_rows": training_set.train_rows,
        "columns": len(pipeline.features),
        "holdout_rows": training_set.holdout_rows,
        "features": [feature.name for feature in pipeline.features],
    }
    if candidate.search is None:
        params |= _name_parameters(candidate)
    else:
        params["search"] = {"parameters": candidate.parameters, **candidate.search.model_dump(mode="json")}
    log_params(settings, run_id, params)
    kinds = {"number": "double", "string": "string"}
    columns = {key: kinds[column.type] for key, column in pipeline.request.columns.items()}
    made_of = [
        LinkedDataset(
            f"{pipeline.name} {part}",
            training_set.digest,
            str(folder / f"{part}.parquet"),
            context,
            {"num_rows": rows, "base_rate": rate},
            columns,
        )
        for part, context, rows, rate in _list_parts(training_set)
    ]
    made_of += [
        LinkedDataset(f"{pipeline.name} {partition}", version, f"{partition}/{version}", "partition")
        for partition, version in versions.items()
    ]
    log_datasets(settings, run_id, made_of)
    for file in (SET_FILE, "tables.json"):
        log_artifact(settings, run_id, folder / file, "training_set")


def fit_candidate(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate_name: str,
    run_id: str,
    threads: int,
    *,
    rung: str | None = None,
    dag_run: str = "",
    plan: SearchPlan | None = None,
) -> TrainedModel:
    """Fit, evaluate and log one candidate to the open MLflow run ``run_id``; a repeat returns what is logged.

    ``rung`` is where this happens, None the ladder's lowest; ``dag_run`` ("DAG/run") who does it; ``plan`` what a
    declared search begins with and when it has to stop.
    The tag ``tollgate.fitted`` is written last, so a try that was killed anywhere is simply made again, with the same
    result. Raises DeclarationError, TrainingDataInvalid, TrackingUnavailable, TrackingConflict (the run was made from
    something else).
    """
    resumed = _resume(settings, training_set, candidate_name, run_id)
    if resumed is not None:
        return resumed
    # Inputs first: a conflict shows before the time of a fit is spent.
    _log_inputs(settings, pipeline, training_set, candidate_name, run_id)
    rung = rung or pipeline.training.ladder.rungs[0].name
    past = list_past_fits(settings, pipeline, candidate_name, rung=rung, but=run_id)
    forecasts = forecast_from(past, training_set.train_rows)
    path = locate_predictions(training_set, candidate_name, run_id)
    place, fixed, trials = pipeline.training.ladder.find(rung), pipeline, 0
    with measure_work() as meter:
        if find_candidate(pipeline, candidate_name).search is not None:
            found = search_parameters(
                settings, pipeline, training_set, candidate_name, run_id, threads, place, plan or SearchPlan(), meter
            )
            fixed, trials = fix_parameters(pipeline, candidate_name, found.parameters), found.trials
            log_params(settings, run_id, _name_parameters(find_candidate(fixed, candidate_name)))
        engine = choose_engine(place, settings.cores)
        scorer = fit_scorer(fixed, training_set, candidate_name, threads, meter, engine)
        with meter.phase("evaluate"):
            requests, _, _ = read_rows(training_set, "holdout")
            with threadpool_limits(limits=threads):
                labels, predictions = write_predictions(training_set, scorer, path)
            # Few rows, asked again and again: a second thread is waited for at each tree, 20 s of CPU where the cores
            # are busy.
            with threadpool_limits(limits=1):
                importance = measure_importance(scorer, requests, labels, pipeline.training.seed)
            metrics = evaluate_predictions(labels, predictions)
    record = describe_fit(
        settings,
        pipeline,
        training_set,
        candidate_name,
        run_id,
        threads,
        meter,
        rung=rung,
        dag_run=dag_run,
        forecasts=forecasts,
        trials=trials,
    )
    log_metrics(settings, run_id, {**metrics, **list_metrics(record)})
    with tempfile.TemporaryDirectory() as folder:
        draw_plots(Path(folder), labels, predictions, importance)
        draw_runtime(Path(folder) / "runtime.png", past, record)
        log_artifact(settings, run_id, Path(folder), "plots")
    log_json(settings, run_id, importance, "plots/importance.json")
    log_predictions(settings, run_id, path)
    model_uri = log_scorer(settings, run_id, scorer, pipeline, training_set, requests)
    trained = TrainedModel(
        candidate=candidate_name,
        run_id=run_id,
        model_uri=model_uri,
        metrics=metrics,
        fit_seconds=round(record.seconds.fit, 3),
        fit_cpu_seconds=round(record.cpu.fit, 3),
        predictions_path=str(path),
    )
    # Before the tag: a try that is killed between the two is made again and replaces it.
    write_fit(settings, record)
    done = {
        TRAINED_TAG: json.dumps(pack(trained)),
        FITTED_TAG: training_set.digest,
        THREADS_TAG: str(threads),
        RUNG_TAG: rung,
    }
    set_tags(settings, run_id, done)
    return trained
