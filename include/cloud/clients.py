"""Where boto3's clients come from: of a caller who has credentials, or of AWS's default chain."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

# A service's name ("sagemaker", "s3", …) to its boto3 client. Airflow's side makes one from a connection.
Clients = Callable[[str], Any]

# A request of the control plane is answered within seconds; botocore tries a lost one again itself, and whatever was
# made by the first is adopted. An answer of a model may take the 60 s that SageMaker gives it.
CLIENT_SETTINGS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 65,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
# For whoever only shows what there is, and must not hang on it.
GLANCE_SETTINGS: dict[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 4,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}


def build_config(settings: dict[str, Any] = CLIENT_SETTINGS) -> Any:
    """The patience of a client, as botocore takes it."""
    from botocore.config import Config

    return Config(**settings)


def make_clients(region: str, settings: dict[str, Any] = CLIENT_SETTINGS) -> Clients:
    """Clients with the credentials and endpoint URLs that AWS's default chain finds (environment, files, role)."""

    @functools.cache
    def make(service: str) -> Any:
        import boto3

        return boto3.session.Session(region_name=region).client(service, config=build_config(settings))

    return make
