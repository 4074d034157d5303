"""Jobs that really run: training in AWS's script mode, processing, batch transform."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config.side_environments import prepare_python
from tests.emulator.running import ROLE
from tests.emulator.toys import BUCKET, Toys, pack, wait_until

pytestmark = pytest.mark.slow

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
_GROUP = "/aws/sagemaker/TrainingJobs"
SCRIPT = Path(__file__).with_name("script.py")


@pytest.fixture(scope="module")
def prepared(toys: Toys) -> Toys:
    # Here and not in the first job: installing may take longer than a test waits.
    prepare_python("script-mode")
    toys.s3.put_object(Bucket=BUCKET, Key="train/rows.csv", Body=b"x,y\n1,2\n2,4\n3,6\n")
    toys.s3.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=pack({"script.py": SCRIPT.read_bytes()}))
    return toys


def start(toys: Toys, name: str, then: str = "end", **more: Any) -> None:
    request = {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "slope", "Regex": "slope: ([0-9.]+);"}],
        },
        "RoleArn": ROLE,
        "HyperParameters": {
            "sagemaker_program": json.dumps("script.py"),
            "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/code/sourcedir.tar.gz"),
            "power": "2",
            "then": json.dumps(then),
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/trained"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    toys.sagemaker.create_training_job(TrainingJobName=name, **{**request, **more})


def describe(toys: Toys, name: str) -> dict[str, Any]:
    return toys.sagemaker.describe_training_job(TrainingJobName=name)


def wait(toys: Toys, name: str) -> dict[str, Any]:
    def ended() -> bool:
        return describe(toys, name)["TrainingJobStatus"] in {"Completed", "Failed", "Stopped"}

    wait_until(ended, 60)
    return describe(toys, name)


def list_statuses(described: dict[str, Any]) -> list[str]:
    return [each["Status"] for each in described["SecondaryStatusTransitions"]]


def test_script_mode_trains_and_the_model_is_on_s3(prepared: Toys) -> None:
    start(prepared, "line")
    assert describe(prepared, "line")["TrainingJobStatus"] == "InProgress"
    described = wait(prepared, "line")
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    assert list_statuses(described) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [(each["MetricName"], each["Value"]) for each in described["FinalMetricDataList"]] == [("slope", 2.0)]
    place = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    content = prepared.s3.get_object(Bucket=BUCKET, Key=place)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile("model.json")
        assert member is not None
        assert json.loads(member.read())["slope"] == 2.0
    streams = prepared.logs.describe_log_streams(logGroupName=_GROUP, logStreamNamePrefix="line/algo-1-")["logStreams"]
    events = prepared.logs.get_log_events(logGroupName=_GROUP, logStreamName=streams[0]["logStreamName"])["events"]
    assert "slope: 2.0;" in [event["message"] for event in events]
    with pytest.raises(ClientError, match="ResourceInUse"):
        start(prepared, "line")


def test_a_script_that_fails_says_why(prepared: Toys) -> None:
    start(prepared, "broken", "fail")
    described = wait(prepared, "broken")
    assert described["TrainingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith("AlgorithmError: ")
    assert "no such column: distance" in described["FailureReason"]
    assert "exit code: 1" in described["FailureReason"]


def test_a_job_is_stopped(prepared: Toys) -> None:
    start(prepared, "halted", "wait")
    wait_until(lambda: describe(prepared, "halted")["SecondaryStatus"] == "Training")
    prepared.sagemaker.stop_training_job(TrainingJobName="halted")
    described = wait(prepared, "halted")
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError, match="status Stopped"):
        prepared.sagemaker.stop_training_job(TrainingJobName="halted")


def test_a_job_that_takes_too_long_is_stopped(prepared: Toys) -> None:
    start(prepared, "endless", "wait", StoppingCondition={"MaxRuntimeInSeconds": 60})
    described = wait(prepared, "endless")
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_spot_job_goes_on_from_its_checkpoints(prepared: Toys) -> None:
    start(
        prepared,
        "spot",
        "wait-once",
        EnableManagedSpotTraining=True,
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/spot"},
        StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 3600},
    )
    wait_until(lambda: prepared.s3.list_objects_v2(Bucket=BUCKET, Prefix="checkpoints/spot/").get("Contents"))
    prepared.emulator.ask("faults", {"kind": "spot_interruption", "name": "spot"})
    described = wait(prepared, "spot")
    assert described["TrainingJobStatus"] == "Completed", described.get("FailureReason")
    statuses = list_statuses(described)
    assert statuses.count("Interrupted") == 1
    assert statuses.count("Training") == 2
    streams = prepared.logs.describe_log_streams(logGroupName=_GROUP, logStreamNamePrefix="spot/")["logStreams"]
    told = [
        [event["message"] for event in prepared.logs.get_log_events(logGroupName=_GROUP, logStreamName=name)["events"]]
        for name in sorted(stream["logStreamName"] for stream in streams)
    ]
    assert [[line for line in lines if line.startswith("started")] for lines in told] == [
        ["started before: 0"],
        ["started before: 1"],
    ]


def test_no_instances_is_a_capacity_error(prepared: Toys) -> None:
    prepared.emulator.ask("faults", {"kind": "capacity", "name": "scarce"})
    start(prepared, "scarce")
    assert wait(prepared, "scarce")["FailureReason"].startswith("CapacityError")


def test_processing_runs_between_s3_and_s3(prepared: Toys) -> None:
    script = b"import pathlib, sys\nn = pathlib.Path(sys.argv[1]).read_text().count('\\n')\n"
    script += b"pathlib.Path('OUT/count.txt'.replace('OUT', sys.argv[2])).write_text(str(n))\n"
    prepared.s3.put_object(Bucket=BUCKET, Key="process/count.py", Body=script)

    def read(place: str, name: str) -> dict[str, Any]:
        given = {"S3Uri": f"s3://{BUCKET}/{place}", "LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix"}
        return {"InputName": name, "S3Input": {**given, "S3InputMode": "File"}}

    output = {"S3Uri": f"s3://{BUCKET}/counted", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    prepared.sagemaker.create_processing_job(
        ProcessingJobName="count",
        RoleArn=ROLE,
        ProcessingInputs=[read("process/", "code"), read("train/", "rows")],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": output}]},
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
        },
        AppSpecification={
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/count.py"],
            "ContainerArguments": ["/opt/ml/processing/rows/rows.csv", "/opt/ml/processing/out"],
        },
    )

    def ended() -> dict[str, Any] | None:
        found = prepared.sagemaker.describe_processing_job(ProcessingJobName="count")
        return found if found["ProcessingJobStatus"] != "InProgress" else None

    described = wait_until(ended)
    assert described["ProcessingJobStatus"] == "Completed", described.get("FailureReason")
    assert prepared.s3.get_object(Bucket=BUCKET, Key="counted/count.txt")["Body"].read() == b"4"


def test_transform_asks_the_model_for_every_object(prepared: Toys) -> None:
    prepared.make_model("batch", answer="0.5")
    prepared.sagemaker.create_transform_job(
        TransformJobName="batch",
        ModelName="batch",
        BatchStrategy="SingleRecord",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/scored", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )

    def ended() -> dict[str, Any] | None:
        found = prepared.sagemaker.describe_transform_job(TransformJobName="batch")
        return found if found["TransformJobStatus"] != "InProgress" else None

    described = wait_until(ended)
    assert described["TransformJobStatus"] == "Completed", described.get("FailureReason")
    scored = prepared.s3.get_object(Bucket=BUCKET, Key="scored/rows.csv.out")["Body"].read()
    assert scored == b"0.5\n0.5\n0.5\n0.5\n"
