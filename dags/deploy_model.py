"""deploy_model: a blessed version reaches customers, after it answered real rows off to the side.

Sandbox, latency beside the champion's, a person's approval where the declaration asks for one, a growing share of the
requests in a process of its own (taken back by itself when it fails there), swap without a failed request, replay of
stored rows through the live endpoint, and only then the alias champion.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, PartitionedAssetTimetable, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.contracts import Deployment, ModelVersion, pack, unpack
from include.declaration import Pipeline
from include.declaration.limits import limit_rollout
from include.declaration.loader import load_pipelines
from include.settings import load_settings
from tollgate_alerts import mail_task_failure, post_mail
from tollgate_approval import build_approval, read_decision
from tollgate_assets import candidate_asset, endpoint_asset
from tollgate_defaults import make_default_arguments, make_rollout_arguments, task
from tollgate_links import identify_run
from tollgate_messages import describe_deployment, describe_not_deployed
from tollgate_reasons import leave_reason, leave_reasons, read_reason, read_states
from tollgate_rollouts import AwaitRollout
from tollgate_targets import connect_target


def give_reason(version: ModelVersion, approval: str) -> str:
    """Why a version is deployed, as the pointer, the registry and the mail have it."""
    return f"Blessed for {version.partition}. {approval}".strip()


def list_offered(context: Any) -> list[ModelVersion]:
    """The versions whose registration triggered this run; none when a person did."""
    return [
        unpack(ModelVersion, event.extra["version"])
        for events in (context.get("triggering_asset_events") or {}).values()
        for event in events
        if "version" in (event.extra or {})
    ]


def build_deploy_model(pipeline: Pipeline) -> DAG:
    """The DAG of one pipeline."""
    endpoint = endpoint_asset(pipeline.name)

    @task
    @leave_reasons
    def choose_version() -> dict[str, Any]:
        from include.steps.deploy import choose_version, note_overtaken

        context, settings = get_current_context(), load_settings()
        offered = list_offered(context)
        chosen = choose_version(settings, pipeline, context["params"].get("version"), offered)
        note_overtaken(settings, pipeline, offered, chosen, identify_run(context))
        if isinstance(chosen, str):
            raise AirflowSkipException(chosen)
        return pack(chosen)

    @task
    @leave_reasons
    def try_in_sandbox(version: dict[str, Any]) -> dict[str, Any]:
        from include.steps.deploy import try_in_sandbox

        return pack(try_in_sandbox(load_settings(), pipeline, unpack(ModelVersion, version)))

    @task
    @leave_reasons
    def measure_latency(version: dict[str, Any]) -> dict[str, Any]:
        from include.steps.deploy import measure_latency

        chosen = unpack(ModelVersion, version)
        return pack(measure_latency(load_settings(), pipeline, chosen, identify_run(get_current_context())))

    @task
    def apply_decision(version: dict[str, Any], answer: dict[str, Any]) -> str:
        chosen = unpack(ModelVersion, version)
        approved, sentence = read_decision(answer)
        if not approved:
            leave_reason(sentence)
            post_mail(describe_not_deployed(pipeline, chosen.version, sentence, get_current_context()))
            raise AirflowSkipException(f"not deployed: {sentence}")
        return sentence

    @task(**make_rollout_arguments(pipeline))
    @leave_reasons
    def shift_traffic(version: dict[str, Any], approval: str = "") -> dict[str, Any]:
        from include.steps.deploy import shift_traffic

        chosen, identity = unpack(ModelVersion, version), identify_run(get_current_context())
        return pack(shift_traffic(load_settings(), pipeline, chosen, identity, give_reason(chosen, approval)))

    @task
    @leave_reasons
    def begin_rollout(version: dict[str, Any], approval: str = "") -> dict[str, Any]:
        from include.steps.hosted import begin_rollout

        chosen, identity = unpack(ModelVersion, version), identify_run(get_current_context())
        reason = give_reason(chosen, approval)
        return pack(begin_rollout(load_settings(), pipeline, chosen, identity, reason, connect_target(pipeline)))

    @task(outlets=[endpoint])
    @leave_reasons
    def deploy_champion(version: dict[str, Any], approval: str = "") -> dict[str, Any]:
        from include.steps.deploy import deploy_champion

        context = get_current_context()
        chosen = unpack(ModelVersion, version)
        reason = give_reason(chosen, approval)
        deployment: Deployment = deploy_champion(
            load_settings(), pipeline, chosen, identify_run(context), reason, connect_target(pipeline)
        )
        context["outlet_events"][endpoint].extra = {"deployment": pack(deployment)}
        post_mail(describe_deployment(pipeline, deployment, context))
        return pack(deployment)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def close_deployment() -> None:
        from include.steps.deploy import note_not_deployed

        context = get_current_context()
        states = read_states(context)
        # A version that was passed over has its reason already.
        if states.get("deploy_champion") == "success" or states.get("choose_version") == "skipped":
            return
        chosen = context["ti"].xcom_pull(task_ids="choose_version")
        reason = read_reason(context) or "Its run was ended before it was live."
        for version in [unpack(ModelVersion, chosen)] if chosen else list_offered(context):
            note_not_deployed(load_settings(), pipeline, version, identify_run(context), reason)

    with DAG(
        f"{pipeline.name}.deploy_model",
        schedule=PartitionedAssetTimetable(assets=candidate_asset(pipeline.name)),
        catchup=False,
        # One deployment at a time per endpoint.
        max_active_runs=1,
        default_args=make_default_arguments(pipeline),
        params={
            "version": Param(
                None, type=["null", "string"], description="Registered version to deploy; empty: the challenger"
            )
        },
        # A task that was killed in its last try cannot say so itself; for any other this is the same mail, sent once.
        on_failure_callback=mail_task_failure,
        description=f"{pipeline.description}: sandbox, rollout, champion",
        doc_md=__doc__,
        tags=[pipeline.name, "deploy"],
    ) as dag:
        version = choose_version()
        tried = try_in_sandbox(version)
        measured = measure_latency(version)
        tried >> measured

        def roll_out(decision: Any = "") -> tuple[Any, Any]:
            """First and last task of the rollout: our own on this machine, else one that the service runs."""
            if pipeline.deployment.port_offset is not None:
                only = shift_traffic(version, decision)
                return only, only
            asked = begin_rollout.override(task_id="shift_traffic")(version, decision)
            limit = limit_rollout(pipeline)
            waited = AwaitRollout(task_id="await_rollout", pipeline=pipeline, asked="shift_traffic", limit=limit)
            asked >> waited
            return asked, waited

        if pipeline.deployment.approval is None:
            first, last = roll_out()
            deployed = deploy_champion(version)
            measured >> first
            last >> deployed
        else:
            asked = build_approval(pipeline, pipeline.deployment.approval)
            measured >> asked
            decision = apply_decision(version, asked.output)
            _, last = roll_out(decision)
            deployed = deploy_champion(version, decision)
            last >> deployed
        # A teardown runs whatever happened before it and does not decide the run's state. It has no setup: what is
        # cleared would have the setup run again as well.
        deployed >> close_deployment().as_teardown()
    return dag


for _pipeline in load_pipelines(load_settings()).pipelines.values():
    globals()[f"{_pipeline.name}_deploy_model"] = build_deploy_model(_pipeline)
