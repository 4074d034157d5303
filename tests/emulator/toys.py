"""Models, configurations and waiting, for tests that talk to the emulator with boto3."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from botocore.exceptions import ClientError

from tests.emulator.running import REGISTRY, ROLE, RunningEmulator

TOY = Path(__file__).with_name("toy_container.py")
TOY_IMAGES = [{"match": "toy", "env": {"MODEL_DIR": "{model_dir}"}, "serve": ["{python}", "-S", "-I", str(TOY)]}]
BUCKET = "ml-artifacts"
VARIANT = "AllTraffic"


def pack(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def pack_folder(folder: Path) -> bytes:
    return pack({str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()})


class Toys:
    """The emulator with a bucket and toy models."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self.emulator = emulator
        self.sagemaker = emulator.make_client("sagemaker")
        self.runtime = emulator.make_client("sagemaker-runtime")
        self.s3 = emulator.make_client("s3")
        self.cloudwatch = emulator.make_client("cloudwatch")
        self.logs = emulator.make_client("logs")
        self.s3.create_bucket(Bucket=BUCKET)

    def make_model(self, name: str, behaviour: str = "good", answer: str | None = None) -> None:
        """A model whose container answers ``answer`` (default: its name)."""
        key = f"models/{name}/model.tar.gz"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=pack({"answer.txt": (answer or name).encode()}))
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": f"{REGISTRY}/toy:1",
                "ModelDataUrl": f"s3://{BUCKET}/{key}",
                "Environment": {"TOY": behaviour},
            },
        )

    def make_config(self, name: str, *, model: str | None = None, instances: int = 2, **more: Any) -> None:
        """An endpoint configuration of one variant (of the model of the same name)."""
        variant = {
            "VariantName": VARIANT,
            "ModelName": model or name,
            "InitialInstanceCount": instances,
            "InstanceType": "ml.m7i.large",
            "InitialVariantWeight": 1.0,
        }
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=more.pop("variants", [variant]), **more
        )

    def make(self, name: str, behaviour: str = "good", **more: Any) -> None:
        """Model and configuration of one name."""
        self.make_model(name, behaviour)
        self.make_config(name, **more)

    def make_endpoint(self, name: str, config: str) -> dict[str, Any]:
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return self.wait(name)

    def wait(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """What DescribeEndpoint says once nothing is under way; ``statuses`` are those that were seen."""
        seen: list[str] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            described = self.sagemaker.describe_endpoint(EndpointName=name)
            if described["EndpointStatus"] not in seen[-1:]:
                seen.append(described["EndpointStatus"])
            if described["EndpointStatus"] in {"InService", "Failed", "UpdateRollbackFailed"}:
                return {**described, "statuses": seen}
            time.sleep(0.02)
        raise AssertionError(f"{name} is still {seen} after {seconds} s")

    def invoke(self, name: str, body: bytes = b"1,2", **more: Any) -> str:
        answer = self.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=body, **more)
        return answer["Body"].read().decode()

    def put_alarm(self, name: str, endpoint: str, **more: Any) -> None:
        """An alarm at the first 5xx of a minute."""
        alarm = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": VARIANT}],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        self.cloudwatch.put_metric_alarm(AlarmName=name, **{**alarm, **more})

    def read_alarm(self, name: str) -> dict[str, Any]:
        return self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]

    @contextmanager
    def load(self, name: str, threads: int = 3) -> Iterator[list[str]]:
        """Requests one after the other until the block ends; the list holds the answers, or the errors' codes."""
        answers: list[str] = []
        ended, lock = Event(), Lock()

        def ask() -> None:
            while not ended.is_set():
                try:
                    answer = self.invoke(name)
                except ClientError as error:
                    answer = error.response["Error"]["Code"]
                with lock:
                    answers.append(answer)

        workers = [Thread(target=ask) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield answers
        finally:
            ended.set()
            for worker in workers:
                worker.join()


def wait_until(is_so: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``is_so`` gives once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := is_so():
            return found
        time.sleep(0.05)
    raise AssertionError("it never became so")


def build_canary(*alarms: str, percent: int = 50, wait: int = 120, bake: int = 60) -> dict[str, Any]:
    """A DeploymentConfig."""
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent},
                "WaitIntervalInSeconds": wait,
            },
            "TerminationWaitInSeconds": bake,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        **({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}),
    }
