"""What the mails about models and deployments say."""

from __future__ import annotations

from typing import Any

from include.contracts import Blessing, Check, Deployment
from include.declaration.models import Pipeline
from include.describe import format_number
from include.links import link_task
from include.mail.compose import Mail
from include.settings import load_settings
from tollgate_letters import point_at_run, write_mail


def _describe_check(check: Check) -> tuple[str, str]:
    text = f"{check.status}: {format_number(check.observed)}, limit {format_number(check.threshold)}"
    if check.low is not None:
        text += f", interval {format_number(check.low)} to {format_number(check.high)}"
    return check.name, text


def describe_refusal(pipeline: Pipeline, blessing: Blessing, mlflow_url: str, context: Any) -> Mail:
    """A candidate was not blessed."""
    served = f"version {blessing.champion_version}" if blessing.champion_version else "nothing yet"
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"refused/{blessing.candidate_run_id}",
        tone="warn",
        subject=f"model of {blessing.partition} not blessed",
        headline=f"The model trained for {blessing.partition} was not blessed",
        lines=(*blessing.reasons, f"It will not be deployed; customers get {served}, as before."),
        # The reasons are the details of the same checks.
        facts=tuple(_describe_check(check) for check in blessing.checks if check.status in ("fail", "error")),
        next_step="Read the blessing in MLflow; the next refresh trains again.",
        links=[("Run in MLflow", mlflow_url), point_at_run(context)],
    )


def describe_question(pipeline: Pipeline, version: str, context: Any) -> Mail:
    """A version waits for a person's approval."""
    task = context["ti"]
    page = link_task(load_settings(), task.dag_id, task.run_id, task.task_id)
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"approval/{task.run_id}/{version}",
        tone="warn",
        subject=f"approve version {version}?",
        headline=f"Version {version} waits for your approval",
        lines=("It was blessed and answered real rows in the sandbox. Rejection or silence means it is not deployed.",),
        links=[("Answer in Airflow", f"{page}/required_actions")],
    )


def describe_not_deployed(pipeline: Pipeline, version: str, decision: str, context: Any) -> Mail:
    """A person rejected a version, or nobody answered in time."""
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"not-deployed/{context['ti'].run_id}/{version}",
        tone="warn",
        subject=f"version {version} not deployed",
        headline=f"Version {version} was not deployed",
        lines=(decision, "What is being served is untouched."),
        next_step="To deploy it after all, trigger the deploy DAG with this version and approve it.",
        links=[point_at_run(context)],
    )


def describe_deployment(pipeline: Pipeline, deployment: Deployment, context: Any) -> Mail:
    """A new champion is being served."""
    before = f"version {deployment.previous_version}" if deployment.previous_version else "nothing"
    return write_mail(
        pipeline.name,
        pipeline.owner,
        key=f"deployed/{deployment.version}/{deployment.deployed_at}",
        tone="good",
        subject=f"version {deployment.version} is live",
        headline=f"Version {deployment.version}, trained for {deployment.partition}, is live",
        lines=(f"It replaces {before}. {deployment.reason}",),
        facts=(("Endpoint", deployment.endpoint_url), ("Since", deployment.deployed_at)),
        links=[point_at_run(context)],
    )
