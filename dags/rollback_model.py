"""rollback: an operator has customers get an earlier version again, at once.

Triggered by hand, with a reason and, where it is not the previous one, the version. It does what `make rollback` does
and waits for no deployment that is under way.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, get_current_context

from include.contracts import pack, unpack
from include.declaration import Pipeline
from include.declaration.limits import limit_rollout
from include.declaration.loader import load_pipelines
from include.settings import load_settings
from tollgate_alerts import mail_task_failure, send_pending
from tollgate_assets import endpoint_asset
from tollgate_defaults import make_default_arguments, task
from tollgate_links import identify_run, name_person
from tollgate_rollouts import AwaitRollout
from tollgate_targets import connect_target


def build_rollback_model(pipeline: Pipeline) -> DAG:
    """The DAG of one pipeline."""
    endpoint = endpoint_asset(pipeline.name)

    # Nothing that waits for a worker is more urgent.
    @task(outlets=[endpoint], priority_weight=1000, weight_rule="absolute")
    def roll_back() -> dict[str, Any]:
        from include.steps.rollback import go_back

        context = get_current_context()
        identity = identify_run(context)
        rollback = go_back(
            load_settings(),
            pipeline,
            by=f"{identity.dag_id}/{identity.run_id}",
            who=name_person(context),
            reason=context["params"].get("reason"),
            version=context["params"].get("version"),
        )
        context["outlet_events"][endpoint].extra = {"rollback": pack(rollback)}
        send_pending()
        return pack(rollback)

    @task(priority_weight=1000, weight_rule="absolute")
    def begin_rollback() -> dict[str, Any]:
        from include.steps.hosted_rollback import begin_rollback
        from include.steps.rollback import shorten_why

        context = get_current_context()
        identity, params = identify_run(context), context["params"]
        progress = begin_rollback(
            load_settings(),
            pipeline,
            by=f"{identity.dag_id}/{identity.run_id}",
            who=name_person(context),
            reason=shorten_why(params.get("reason")),
            version=(params.get("version") or "").strip() or None,
            connection=connect_target(pipeline),
        )
        return pack(progress)

    @task(outlets=[endpoint], priority_weight=1000, weight_rule="absolute")
    def finish_rollback(begun: dict[str, Any]) -> dict[str, Any]:
        from include.deployment.target import Progress
        from include.steps.hosted_rollback import finish_rollback
        from include.steps.rollback import shorten_why

        context = get_current_context()
        identity = identify_run(context)
        rollback = finish_rollback(
            load_settings(),
            pipeline,
            unpack(Progress, begun),
            by=f"{identity.dag_id}/{identity.run_id}",
            who=name_person(context),
            reason=shorten_why(context["params"].get("reason")),
            connection=connect_target(pipeline),
        )
        context["outlet_events"][endpoint].extra = {"rollback": pack(rollback)}
        send_pending()
        return pack(rollback)

    with DAG(
        f"{pipeline.name}.rollback",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=make_default_arguments(pipeline),
        params={
            "reason": Param(
                None, type=["null", "string"], description="Why; it is shown on the page, in the registry and mailed"
            ),
            "version": Param(
                None, type=["null", "string"], description="An earlier version; empty: the one served before"
            ),
        },
        # A task that was killed in its last try cannot say so itself; for any other this is the same mail, sent once.
        on_failure_callback=mail_task_failure,
        description=f"{pipeline.description}: back to an earlier version",
        doc_md=__doc__,
        tags=[pipeline.name, "deploy"],
    ) as dag:
        if pipeline.deployment.port_offset is not None:
            roll_back()
        else:
            # A service takes its time: what waits for it holds no slot.
            begun = begin_rollback.override(task_id="roll_back")()
            limit = limit_rollout(pipeline)
            waited = AwaitRollout(task_id="await_rollback", pipeline=pipeline, asked="roll_back", limit=limit)
            begun >> waited >> finish_rollback(begun)
    return dag


for _pipeline in load_pipelines(load_settings()).pipelines.values():
    globals()[f"{_pipeline.name}_rollback_model"] = build_rollback_model(_pipeline)
