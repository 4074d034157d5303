"""The flights, served by SageMaker: nothing but the target and its rollout are declared differently."""

from __future__ import annotations

from include.declaration import (
    Alarms,
    AutoRollback,
    CapacitySize,
    Change,
    Pipeline,
    Rollout,
    SageMakerTarget,
    TrafficRouting,
)
from tests.emulator.running import REGION, REGISTRY, ROLE
from tests.scenarios.variants import declare_variant

BUCKET = "tollgate-models"
# Where Airflow has its credentials, as AIRFLOW_CONN_SERVING_AWS.
CONNECTION = "serving_aws"


def declare_hosted(name: str, image: str, connection_id: str | None) -> Pipeline:
    """Half of two instances as canary for 100 s, a minute's bake, judged by ten seconds' requests."""
    variant = declare_variant(name, 0, change=Change(metric="roc_auc", margin=0.5), slices=())
    target = SageMakerTarget(
        region=REGION,
        role_arn=ROLE,
        bucket=BUCKET,
        image_uri=f"{REGISTRY}/{image}",
        alarms=Alarms(period=10),
        connection_id=connection_id,
        poll_seconds=0.5,
    )
    rollout = Rollout(
        traffic_routing_configuration=TrafficRouting(
            type="CANARY", canary_size=CapacitySize(value=50), wait_interval_in_seconds=100
        ),
        termination_wait_in_seconds=60,
        maximum_execution_timeout_in_seconds=28_000,
        auto_rollback_configuration=AutoRollback(minimum_requests=5, max_failure_rate=0.05),
    )
    return variant.model_copy(
        update={
            "deployment": type(variant.deployment)(**{**dict(variant.deployment), "target": target, "rollout": rollout})
        }
    )
