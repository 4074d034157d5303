"""train_model: a validated partition becomes a blessed, registered model version, or a refusal with its reasons.

One run per partition key. Airflow keeps keys in no order, so a run whose key is older than one already validated ends
as skipped, and refreshes that land together make one training.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, PartitionedAssetTimetable, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.contracts import Blessing, ModelVersion, TrainedModel, TrainingSet, Window, pack, unpack
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.links import link_mlflow_run
from include.settings import load_settings
from tollgate_alerts import mail_task_failure, post_any, post_mail
from tollgate_assets import candidate_asset, validated_asset
from tollgate_defaults import make_default_arguments, make_rung_arguments, make_training_arguments, task
from tollgate_gate_messages import describe_features_warning
from tollgate_links import identify_run
from tollgate_messages import describe_refusal
from tollgate_reasons import leave_reasons, read_reason
from tollgate_runs import asked_by_hand, flatten

FIT_ON = "fit_on_"


def measure_elapsed(context: Any) -> float:
    """Seconds since the DAG run was queued, from which ``sla.train_model`` counts."""
    from datetime import UTC, datetime

    run = context["dag_run"]
    # A task is not told when its run was queued; that is when it was due, or, of a cleared one, when it began anew.
    since = (run.start_date if run.clear_number else None) or run.run_after
    return float((datetime.now(UTC) - since).total_seconds())


def climb_ladder(pipeline: Pipeline, training_set: Any, parent_run_id: Any) -> tuple[Any, Any]:
    """The tasks of a declared compute ladder: the choice of a rung, each rung's fits, and what collects them.

    Queue, pool and executor are fixed for a task, so each rung is a task of its own, which is skipped where nobody is
    to be fitted. Returns the first and the last task.
    """
    rungs = pipeline.training.ladder.rungs

    @task
    def choose_rung(training_set: dict[str, Any], parent_run_id: str) -> list[str]:
        from include.steps.ladder import choose_training_rung
        from include.steps.order import order_candidates

        context, settings = get_current_context(), load_settings()
        choice, mail = choose_training_rung(
            settings,
            pipeline,
            unpack(TrainingSet, training_set),
            parent_run_id,
            identify_run(context),
            measure_elapsed(context),
        )
        context["ti"].xcom_push("choice", pack(choice))
        post_any(mail)
        return order_candidates(settings, pipeline) if choice.lowest else []

    def make_climb(rung: str) -> Any:
        @task(task_id=f"climb_to_{rung}", trigger_rule=TriggerRule.ALL_DONE)
        def climb() -> list[str]:
            from include.runtime.ladder import Choice
            from include.steps.ladder import choose_climbers

            context = get_current_context()
            packed = context["ti"].xcom_pull(task_ids="choose_rung", key="choice")
            # Asked for, not given: right behind a setup Airflow takes no task that runs whatever happened before it.
            parent_run_id = context["ti"].xcom_pull(task_ids="open_run")
            if packed is None or parent_run_id is None:
                raise AirflowSkipException("No rung was chosen.")
            candidates, mail = choose_climbers(
                load_settings(), pipeline, unpack(Choice, packed), rung, identify_run(context), parent_run_id
            )
            post_any(mail)
            return candidates

        return climb

    def make_fit(rung: str) -> Any:
        @task(
            task_id=f"{FIT_ON}{rung}",
            map_index_template="{{ task.op_kwargs['candidate'] }}",
            # Whoever collects the fits says what failed for good, in one mail.
            on_failure_callback=[],
            **make_rung_arguments(pipeline, rung),
        )
        def fit_on_rung(candidate: str, training_set: dict[str, Any], parent_run_id: str) -> dict[str, Any]:
            from include.steps.ladder import fit_on_rung
            from include.steps.runtime import report_slowdown

            context, settings = get_current_context(), load_settings()
            trained = fit_on_rung(
                settings,
                pipeline,
                unpack(TrainingSet, training_set),
                candidate,
                parent_run_id,
                identify_run(context),
                rung,
                measure_elapsed(context),
            )
            post_any(report_slowdown(settings, pipeline, trained))
            return pack(trained)

        return fit_on_rung

    @task(trigger_rule=TriggerRule.ALL_DONE)
    @leave_reasons
    def collect_fits() -> list[dict[str, Any]]:
        from include.steps.ladder import collect_models

        context = get_current_context()
        if context["ti"].xcom_pull(task_ids="choose_rung", key="choice") is None:
            raise AirflowSkipException("No rung was chosen.")
        pulled = context["ti"].xcom_pull(task_ids=[f"{FIT_ON}{rung.name}" for rung in rungs])
        models = [unpack(TrainedModel, model) for model in flatten(pulled)]
        return pack(collect_models(load_settings(), pipeline, models, identify_run(context)))

    chosen = who = choose_rung(training_set, parent_run_id)
    collected = collect_fits()
    fits = None
    for rung in rungs:
        if fits is not None:
            who = make_climb(rung.name)()
            fits >> who
        fits = make_fit(rung.name).partial(training_set=training_set, parent_run_id=parent_run_id).expand(candidate=who)
        fits >> collected
    return chosen, collected


def build_train_model(pipeline: Pipeline) -> DAG:
    """The DAG of one pipeline."""
    validated = validated_asset(pipeline.name)
    candidate = candidate_asset(pipeline.name)

    @task
    def choose_window() -> dict[str, Any]:
        from include.data.window import Superseded, choose_window, newest_partition

        context, settings = get_current_context(), load_settings()
        run = context["dag_run"]
        partition = run.partition_key or context["params"].get("partition") or newest_partition(settings, pipeline)
        chosen = choose_window(
            settings,
            pipeline,
            partition,
            f"{run.dag_id}/{run.run_id}",
            by_hand=asked_by_hand(run),
            asked_at=run.run_after,
        )
        if isinstance(chosen, Superseded):
            raise AirflowSkipException(f"superseded by {chosen.by}: {chosen.reason}")
        return pack(chosen)

    @task
    @leave_reasons
    def open_run(window: dict[str, Any]) -> str:
        from include.steps.train import open_training

        return open_training(load_settings(), pipeline, unpack(Window, window), identify_run(get_current_context()))

    @task(**make_training_arguments(pipeline))
    @leave_reasons
    def prepare_training_set(window: dict[str, Any]) -> dict[str, Any]:
        from include.training.dataset import prepare_training_set

        return pack(prepare_training_set(load_settings(), pipeline, unpack(Window, window)))

    @task
    @leave_reasons
    def gate_features(training_set: dict[str, Any], parent_run_id: str) -> dict[str, Any]:
        from include.steps.train import gate_features

        context, prepared = get_current_context(), unpack(TrainingSet, training_set)
        report = gate_features(load_settings(), pipeline, prepared, parent_run_id, identify_run(context))
        if report.verdict == "warn":
            post_mail(describe_features_warning(pipeline, report, context))
        return pack(report)

    @task
    @leave_reasons
    def order_candidates() -> list[str]:
        from include.steps.order import order_candidates

        return order_candidates(load_settings(), pipeline)

    lowest = pipeline.training.ladder.rungs[0].name

    @task(map_index_template="{{ task.op_kwargs['candidate'] }}", **make_rung_arguments(pipeline, lowest))
    @leave_reasons
    def fit_candidate(candidate: str, training_set: dict[str, Any], parent_run_id: str) -> dict[str, Any]:
        from include.steps.runtime import foresee_growth, report_slowdown
        from include.steps.train import fit_one

        context, settings, prepared = get_current_context(), load_settings(), unpack(TrainingSet, training_set)
        identity = identify_run(context)
        post_any(foresee_growth(settings, pipeline, prepared, candidate, identity))
        trained = fit_one(settings, pipeline, prepared, candidate, parent_run_id, identity, measure_elapsed(context))
        post_any(report_slowdown(settings, pipeline, trained))
        return pack(trained)

    @task
    @leave_reasons
    def bless_best(training_set: dict[str, Any], trained: Any, parent_run_id: str) -> dict[str, Any]:
        from include.steps.train import bless_best

        context, settings = get_current_context(), load_settings()
        models = [unpack(TrainedModel, model) for model in trained]
        blessing = bless_best(
            settings,
            pipeline,
            unpack(TrainingSet, training_set),
            models,
            parent_run_id,
            identify_run(context),
        )
        if not blessing.blessed:
            url = link_mlflow_run(settings, blessing.candidate_run_id)
            post_mail(describe_refusal(pipeline, blessing, url, context))
        return pack(blessing)

    @task(outlets=[candidate])
    @leave_reasons
    def register_model(blessing: dict[str, Any], training_set: dict[str, Any]) -> dict[str, Any]:
        from include.runtime.history import read_fit
        from include.steps.train import register_blessed

        verdict = unpack(Blessing, blessing)
        if not verdict.blessed:
            raise AirflowSkipException("not blessed: " + " ".join(verdict.reasons))
        settings = load_settings()
        version: ModelVersion = register_blessed(settings, pipeline, verdict, unpack(TrainingSet, training_set))
        fit = read_fit(settings, pipeline.name, verdict.candidate_run_id)
        event = get_current_context()["outlet_events"][candidate]
        event.add_partitions(version.partition)
        event.extra = {"version": pack(version), "blessing": blessing, "fit": pack(fit) if fit else None}
        return pack(version)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def close_run() -> None:
        from include.steps.train import finish_training, settle_claim

        context, settings = get_current_context(), load_settings()
        parent_run_id = context["ti"].xcom_pull(task_ids="open_run")
        if not parent_run_id:
            raise AirflowSkipException("no run was opened")
        succeeded = context["ti"].xcom_pull(task_ids="bless_best") is not None
        # A fit that failed on a rung and was made on the next one stopped nothing.
        climbed = [task_id for task_id in context["dag"].task_ids if task_id.startswith(FIT_ON)]
        stopped_because = read_reason(context, but=climbed) or (
            "" if succeeded else "Its run was ended before it had a verdict."
        )
        # Before MLflow, which may be what stopped it.
        settle_claim(settings, pipeline, identify_run(context), stopped_because)
        finish_training(settings, pipeline, parent_run_id, succeeded)

    with DAG(
        f"{pipeline.name}.train_model",
        schedule=PartitionedAssetTimetable(assets=validated),
        catchup=False,
        # One training at a time: the next one compares with the champion that this one may become.
        max_active_runs=1,
        default_args=make_default_arguments(pipeline),
        params={
            "partition": Param(
                None, type=["null", "string"], description="Partition to train for; empty: the newest validated one"
            )
        },
        # A task that was killed in its last try cannot say so itself; for any other this is the same mail, sent once.
        on_failure_callback=mail_task_failure,
        description=f"{pipeline.description}: features, candidates, blessing, registry",
        doc_md=__doc__,
        tags=[pipeline.name, "train"],
    ) as dag:
        window = choose_window()
        parent = open_run(window)
        training_set = prepare_training_set(window)
        checked = gate_features(training_set, parent)
        if len(pipeline.training.ladder.rungs) > 1:
            chosen, trained = climb_ladder(pipeline, training_set, parent)
            checked >> chosen
        else:
            chosen = None
            who: Any = [each.name for each in pipeline.training.candidates]
            if len(who) > 1:
                who = order_candidates()
                window >> who
            trained = fit_candidate.partial(training_set=training_set, parent_run_id=parent).expand(candidate=who)
            checked >> trained
        blessing = bless_best(training_set, trained, parent)
        if chosen is not None:
            # What collects the fits runs whatever happened; that nothing was chosen must stop the run all the same.
            chosen >> blessing
        registered = register_model(blessing, training_set)
        # A teardown runs whatever happened before it and does not decide the run's state.
        [blessing, registered] >> close_run().as_teardown(setups=parent)
    return dag


for _pipeline in load_pipelines(load_settings()).pipelines.values():
    globals()[f"{_pipeline.name}_train_model"] = build_train_model(_pipeline)
