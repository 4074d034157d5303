"""Run by test_clients.py in an Airflow of its own: the stock operators, one after the other; prints what each gave."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.providers.amazon.aws.operators.sagemaker import (
    SageMakerEndpointConfigOperator,
    SageMakerEndpointOperator,
    SageMakerModelOperator,
    SageMakerTrainingOperator,
)

from tests.emulator.running import REGISTRY, ROLE
from tests.emulator.toys import BUCKET, VARIANT, build_canary


def build_model(name: str) -> dict[str, Any]:
    container = {"Image": f"{REGISTRY}/toy:1", "ModelDataUrl": f"s3://{BUCKET}/models/{name}/model.tar.gz"}
    return {"ModelName": f"airflow-{name}", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}


def build_config(name: str) -> dict[str, Any]:
    variant = {
        "VariantName": VARIANT,
        "ModelName": f"airflow-{name}",
        "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": 1,
    }
    return {"EndpointConfigName": f"airflow-{name}", "ProductionVariants": [variant]}


def main(training: dict[str, Any]) -> None:
    results = {}
    for name, operation, more in (
        ("one", "create", {}),
        ("two", "update", {"DeploymentConfig": build_canary(wait=20, bake=10)}),
    ):
        SageMakerModelOperator(task_id=f"model_{name}", config=build_model(name)).execute({})
        SageMakerEndpointConfigOperator(task_id=f"config_{name}", config=build_config(name)).execute({})
        results[operation] = SageMakerEndpointOperator(
            task_id=f"endpoint_{name}",
            config={"EndpointName": "airflow", "EndpointConfigName": f"airflow-{name}", **more},
            operation=operation,
            check_interval=1,
        ).execute({})["Endpoint"]["EndpointConfigName"]
    trained = SageMakerTrainingOperator(
        task_id="train", config=training, check_interval=1, print_log=True, action_if_job_exists="fail"
    ).execute({})
    results["train"] = trained["Training"]["TrainingJobStatus"]
    print("RESULTS " + json.dumps(results))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
