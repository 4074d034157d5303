"""The flights on SageMaker, by the credentials of an Airflow connection."""

from __future__ import annotations

from tests.scenarios.sagemaker_variants import CONNECTION, declare_hosted

PIPELINE = declare_hosted("hosted", "tollgate-serving:0.1.0", CONNECTION)
