"""What a target is reached with: the credentials of the Airflow connection that a declaration names."""

from __future__ import annotations

import functools
from typing import Any

from include.declaration.models import Pipeline


def connect_target(pipeline: Pipeline) -> object | None:
    """What ``open_target`` takes as connection; None where the target declares none, and the default chain is asked.

    Only here do Airflow's connections become clients; include is handed a callable that makes one for a service.
    Endpoint URLs are the connection's (``endpoint_url`` in its extra), as everywhere in the amazon provider.
    """
    target = pipeline.deployment.target
    if target.kind != "sagemaker" or target.connection_id is None:
        return None
    connection_id, region = target.connection_id, target.region

    @functools.cache
    def make(service: str) -> Any:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

        from include.cloud.clients import build_config

        hook: Any = AwsBaseHook(
            aws_conn_id=connection_id, client_type=service, region_name=region, config=build_config()
        )
        return hook.conn

    return make
