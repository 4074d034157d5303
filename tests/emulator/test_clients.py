"""Clients that know SageMaker and not Tollgate: MLflow's deployment client and Airflow's stock operators.

And Tollgate's own server image behind an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from include.settings import PROJECT_ROOT
from tests.dags.conftest import make_airflow_environment
from tests.emulator.running import REGION, REGISTRY, ROLE
from tests.emulator.test_jobs import IMAGE, SCRIPT
from tests.emulator.toys import BUCKET, Toys, pack, pack_folder
from tests.unit.factory import make_pipeline
from tests.unit.served_models import fit_scorer, make_requests, save_compiled

pytestmark = pytest.mark.slow


def save_model(folder: Path, slope: float) -> str:
    import mlflow.sklearn

    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    model = LinearRegression().fit(frame, slope * frame["x"])
    mlflow.sklearn.save_model(model, str(folder), input_example=frame, serialization_format="cloudpickle")
    return str(folder)


def test_mlflows_deployment_client_creates_updates_predicts_and_deletes(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.deployments import get_deploy_client

    for name, text in toys.emulator.build_environment().items():
        monkeypatch.setenv(name, text)
    config = {
        "execution_role_arn": ROLE,
        "bucket": BUCKET,
        "image_url": f"{REGISTRY}/mlflow-pyfunc:3.17.2",
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "synchronous": True,
        "timeout_seconds": 120,
    }
    client = get_deploy_client(f"sagemaker:/{REGION}")
    frame = pd.DataFrame({"x": [10.0]})
    client.create_deployment("by-mlflow", save_model(tmp_path / "two", 2.0), flavor="python_function", config=config)
    assert client.predict("by-mlflow", frame)["predictions"] == [pytest.approx(20.0)]
    client.update_deployment(
        "by-mlflow",
        save_model(tmp_path / "three", 3.0),
        flavor="python_function",
        config={**config, "mode": "replace"},
    )
    assert client.predict("by-mlflow", frame)["predictions"] == [pytest.approx(30.0)]
    assert "by-mlflow" in [each["EndpointName"] for each in client.list_deployments()]
    client.delete_deployment("by-mlflow", config={"synchronous": True, "timeout_seconds": 60})
    assert toys.sagemaker.list_endpoints(NameContains="by-mlflow")["Endpoints"] == []


def test_airflows_stock_operators_train_create_and_update(toys: Toys, tmp_path: Path) -> None:
    for name in ("one", "two"):
        toys.s3.put_object(Bucket=BUCKET, Key=f"models/{name}/model.tar.gz", Body=pack({"answer.txt": name.encode()}))
    toys.s3.put_object(Bucket=BUCKET, Key="airflow/rows.csv", Body=b"x,y\n1,2\n")
    toys.s3.put_object(Bucket=BUCKET, Key="airflow/code.tar.gz", Body=pack({"script.py": SCRIPT.read_bytes()}))
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/airflow/rows.csv"}
    training = {
        "TrainingJobName": "by-airflow",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {
            "sagemaker_program": '"script.py"',
            "sagemaker_submit_directory": f'"s3://{BUCKET}/airflow/code.tar.gz"',
            "power": "1",
        },
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/airflow/trained"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    connection = {
        "conn_type": "aws",
        "login": "testtest",
        "password": "testtest",
        "extra": {"region_name": REGION, "endpoint_url": toys.emulator.url},
    }
    env = {
        **os.environ,
        **make_airflow_environment(tmp_path),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.emulator.airflow_operators", json.dumps(training)],
        cwd=PROJECT_ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    results = json.loads(ended.stdout.rpartition("RESULTS ")[2].splitlines()[0])
    assert results == {"create": "airflow-one", "update": "airflow-two", "train": "Completed"}
    assert toys.invoke("airflow") == "two"


def test_tollgates_own_server_image_answers(toys: Toys, tmp_path: Path) -> None:
    pipeline = make_pipeline()
    model = save_compiled(pipeline, fit_scorer(pipeline), tmp_path / "model")
    toys.s3.put_object(Bucket=BUCKET, Key="models/tollgate/model.tar.gz", Body=pack_folder(model))
    toys.sagemaker.create_model(
        ModelName="tollgate",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": f"{REGISTRY}/tollgate-serving:0.1.0",
            "ModelDataUrl": f"s3://{BUCKET}/models/tollgate/model.tar.gz",
        },
    )
    toys.make_config("tollgate")
    described = toys.make_endpoint("tollgate", "tollgate")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    asked = json.loads(make_requests(pipeline, rows=3).to_json(orient="split", index=False))
    answer = toys.runtime.invoke_endpoint(
        EndpointName="tollgate", ContentType="application/json", Body=json.dumps({"dataframe_split": asked})
    )
    assert len(json.loads(answer["Body"].read())["predictions"]) == 3
