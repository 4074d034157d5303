"""A person's approval before a deployment, through Airflow's own human-in-the-loop operator."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.execution_time.hitl import HITLUser

from include.declaration.delivery import Approval
from include.declaration.models import Pipeline
from include.declaration.parts import parse_duration

APPROVE = "Approve"
REJECT = "Reject"


class AskApproval(HITLOperator):
    """Mails the owner that an answer is wanted, then waits without holding a worker slot.

    Airflow 3.3.2 loses an answer that comes in the moment before its scheduler has noticed that the asking process
    ended: the answer starts the task again at once, the scheduler takes it for one that was killed, and it asks anew,
    for its whole time and without a second mail. Nothing is deployed by that; the person has to answer once more.
    """

    def __init__(self, *, pipeline: Pipeline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pipeline = pipeline

    def execute(self, context: Any) -> Any:
        """Ask, by mail and in Airflow's UI."""
        from tollgate_alerts import post_mail
        from tollgate_messages import describe_question

        version = context["ti"].xcom_pull(task_ids="choose_version")["version"]
        post_mail(describe_question(self._pipeline, version, context))
        return super().execute(context)


def build_approval(pipeline: Pipeline, approval: Approval) -> AskApproval:
    """The task that asks. Silence counts as rejection."""
    return AskApproval(
        pipeline=pipeline,
        task_id="ask_approval",
        subject="Deploy version {{ ti.xcom_pull(task_ids='choose_version')['version'] }} of " + pipeline.name + "?",
        body=(
            "It was blessed for {{ ti.xcom_pull(task_ids='choose_version')['partition'] }} and "
            "answered in the sandbox. The blessing is in MLflow, on the version and its run."
        ),
        options=[APPROVE, REJECT],
        defaults=[REJECT],
        response_timeout=parse_duration(approval.within),
        assigned_users=[HITLUser(id=name, name=name) for name in approval.approvers] or None,
        # The person's time is bounded by response_timeout; the default limit of work would end the wait early.
        execution_timeout=None,
    )


def read_decision(answer: dict[str, Any]) -> tuple[bool, str]:
    """Whether a person approved, and a sentence that says who decided.

    Nothing is approved without a person's name: an option that nobody chose is a default, whatever it says.
    """
    person = answer.get("responded_by_user") or {}
    name = (person.get("name") or person.get("id")) if isinstance(person, dict) else str(person)
    if not name:
        return False, "Nobody answered in time."
    approved = answer.get("chosen_options") == [APPROVE]
    return approved, f"{'Approved' if approved else 'Rejected'} by {name}."
