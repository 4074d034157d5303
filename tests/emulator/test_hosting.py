"""Endpoints over time: real containers behind them, traffic shifted, alarms evaluated, everything put back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.toys import BUCKET, VARIANT, Toys, build_canary, wait_until

pytestmark = pytest.mark.slow


def test_an_endpoint_is_created_over_time_and_answers_from_its_container(toys: Toys) -> None:
    toys.make("first")
    described = toys.make_endpoint("created", "first")
    assert described["statuses"] == ["Creating", "InService"]
    assert toys.invoke("created") == "first"
    variant = described["ProductionVariants"][0]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (VARIANT, 2, 1.0)


def test_a_canary_is_deployed_under_load_without_an_error(toys: Toys) -> None:
    toys.make("old")
    toys.make("new")
    toys.make_endpoint("shifted", "old")
    toys.put_alarm("shifted-5xx", "shifted")
    with toys.load("shifted") as answers:
        wait_until(lambda: len(answers) > 20)
        toys.sagemaker.update_endpoint(
            EndpointName="shifted", EndpointConfigName="new", DeploymentConfig=build_canary("shifted-5xx")
        )
        pending = toys.sagemaker.describe_endpoint(EndpointName="shifted")["PendingDeploymentSummary"]
        wait_until(lambda: "new" in answers)
        described = toys.wait("shifted")
        count = len(answers)
        wait_until(lambda: len(answers) > count + 20)
    assert pending["EndpointConfigName"] == "new"
    assert set(answers) == {"old", "new"}
    assert set(answers[count + 5 :]) == {"new"}
    assert described["EndpointConfigName"] == "new"
    assert described["LastDeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"] == [{"AlarmName": "shifted-5xx"}]
    assert "FailureReason" not in described
    assert toys.read_alarm("shifted-5xx")["StateValue"] == "OK"


def test_an_alarm_that_a_canary_trips_sends_everything_back(toys: Toys) -> None:
    toys.make("sound")
    toys.make("broken", "failing")
    toys.make_endpoint("guarded", "sound")
    toys.put_alarm("guarded-5xx", "guarded")
    assert toys.read_alarm("guarded-5xx")["StateValue"] == "INSUFFICIENT_DATA"
    with toys.load("guarded") as answers:
        toys.sagemaker.update_endpoint(
            EndpointName="guarded",
            EndpointConfigName="broken",
            DeploymentConfig=build_canary("guarded-5xx", wait=600),
        )
        described = toys.wait("guarded")
        count = len(answers)
        wait_until(lambda: len(answers) > count + 20)
    assert described["statuses"] == ["Updating", "RollingBack", "InService"]
    assert described["EndpointConfigName"] == "sound"
    assert "guarded-5xx" in described["FailureReason"]
    assert set(answers) == {"sound", "broken", "ModelError"}
    assert set(answers[count + 5 :]) == {"sound"}


def test_an_alarm_may_look_at_the_new_fleet_alone(toys: Toys) -> None:
    toys.make("ailing", "failing")
    toys.make("healed")
    toys.make_endpoint("scoped", "ailing")
    dimensions = [
        {"Name": "EndpointName", "Value": "scoped"},
        {"Name": "VariantName", "Value": VARIANT},
        {"Name": "EndpointConfigName", "Value": "healed"},
    ]
    toys.put_alarm("scoped-5xx", "scoped", Dimensions=dimensions)
    with toys.load("scoped"):
        toys.sagemaker.update_endpoint(
            EndpointName="scoped", EndpointConfigName="healed", DeploymentConfig=build_canary("scoped-5xx")
        )
        assert toys.wait("scoped")["EndpointConfigName"] == "healed"


def test_an_alarm_may_be_a_rate_with_enough_traffic_or_a_percentile(toys: Toys) -> None:
    toys.make("flaky", "failing")
    toys.make_endpoint("rated", "flaky")
    dimensions = [{"Name": "EndpointName", "Value": "rated"}, {"Name": "VariantName", "Value": VARIANT}]

    def measure(name: str, metric: str) -> dict[str, Any]:
        stat = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": dimensions}
        return {"Id": name, "MetricStat": {"Metric": stat, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    for name, least in (("busy-rate", 5), ("idle-rate", 1_000_000)):
        rate = {"Id": "rate", "Expression": f"IF(calls >= {least}, errors / calls, 0)", "ReturnData": True}
        toys.cloudwatch.put_metric_alarm(
            AlarmName=name,
            Metrics=[measure("calls", "Invocations"), measure("errors", "Invocation5XXErrors"), rate],
            EvaluationPeriods=1,
            Threshold=0.2,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
    for name, threshold in (("slow-99", 1.0), ("slow-90", 60e6)):
        alarm = {"AlarmName": name, "MetricName": "ModelLatency", "Dimensions": dimensions, "Threshold": threshold}
        toys.cloudwatch.put_metric_alarm(
            **alarm,
            Namespace="AWS/SageMaker",
            ExtendedStatistic="p" + name[-2:],
            Period=60,
            EvaluationPeriods=2,
            DatapointsToAlarm=1,
            ComparisonOperator="GreaterThanThreshold",
        )

    def read_states() -> list[str]:
        return [toys.read_alarm(name)["StateValue"] for name in ("busy-rate", "idle-rate", "slow-99", "slow-90")]

    assert set(read_states()) == {"INSUFFICIENT_DATA"}
    with toys.load("rated"):
        wait_until(lambda: read_states() == ["ALARM", "OK", "ALARM", "OK"])
    wait_until(lambda: read_states() == ["OK", "OK", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA"])


def test_a_container_that_does_not_start_leaves_the_old_one_answering(toys: Toys) -> None:
    toys.make("steady")
    toys.make("crash", "crashing")
    toys.make_endpoint("kept", "steady")
    with toys.load("kept") as answers:
        toys.sagemaker.update_endpoint(EndpointName="kept", EndpointConfigName="crash")
        described = toys.wait("kept")
    assert set(answers) == {"steady"}
    assert described["EndpointConfigName"] == "steady"
    assert "did not pass the ping health check" in described["FailureReason"]
    events = wait_until(lambda: _read_log(toys, "/aws/sagemaker/Endpoints/kept"))
    assert "ValueError: this model cannot be loaded" in events


def _read_log(toys: Toys, group: str) -> list[str]:
    found = toys.logs.filter_log_events(logGroupName=group)["events"]
    return [event["message"] for event in found]


def test_a_first_endpoint_that_cannot_start_has_failed(toys: Toys) -> None:
    toys.make("hopeless", "crashing")
    described = toys.make_endpoint("failed", "hopeless")
    assert described["statuses"][-1] == "Failed"
    with pytest.raises(ClientError, match="ValidationError"):
        toys.invoke("failed")


def test_linear_shifting_goes_step_by_step(toys: Toys) -> None:
    toys.make("before", instances=4)
    toys.make("after", instances=4)
    toys.make_endpoint("linear", "before")
    deployment = build_canary()
    deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] = {
        "Type": "LINEAR",
        "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 60,
    }
    with toys.load("linear") as answers:
        toys.sagemaker.update_endpoint(EndpointName="linear", EndpointConfigName="after", DeploymentConfig=deployment)
        wait_until(lambda: "after" in answers)
        described = toys.wait("linear")
    assert described["EndpointConfigName"] == "after"
    shifted = answers[answers.index("after") :]
    quarter = len(shifted) // 4
    parts = [shifted[start : start + quarter].count("after") for start in range(0, 4 * quarter, quarter)]
    assert parts[0] < parts[-1]
    assert set(answers) == {"before", "after"}


def test_weights_decide_and_a_target_variant_overrides(toys: Toys) -> None:
    for name in ("left", "right"):
        toys.make_model(name)
    variants = [
        {
            "VariantName": name,
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "InitialVariantWeight": weight,
        }
        for name, weight in (("left", 1.0), ("right", 0.0))
    ]
    toys.make_config("both", variants=variants)
    toys.make_endpoint("weighted", "both")
    assert {toys.invoke("weighted") for _ in range(20)} == {"left"}
    assert toys.invoke("weighted", TargetVariant="right") == "right"
    toys.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="weighted",
        DesiredWeightsAndCapacities=[
            {"VariantName": "left", "DesiredWeight": 0.0},
            {"VariantName": "right", "DesiredWeight": 1.0, "DesiredInstanceCount": 3},
        ],
    )
    described = toys.wait("weighted")
    assert described["statuses"] == ["Updating", "InService"]
    assert [variant["CurrentInstanceCount"] for variant in described["ProductionVariants"]] == [1, 3]
    assert {toys.invoke("weighted") for _ in range(20)} == {"right"}
    with pytest.raises(ClientError, match="was not found"):
        toys.invoke("weighted", TargetVariant="middle")


def test_errors_of_a_container_are_model_errors(toys: Toys) -> None:
    toys.make("refusal", "refusing")
    toys.make_endpoint("refused", "refusal")
    with pytest.raises(ClientError) as caught:
        toys.invoke("refused")
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["OriginalStatusCode"], answer["OriginalMessage"]) == (
        "ModelError",
        400,
        "no such column",
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    with pytest.raises(ClientError) as caught:
        toys.invoke("ghost")
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_cloudwatch_counts_every_invocation_once(toys: Toys) -> None:
    toys.make("counted")
    toys.make_endpoint("counted", "counted")
    for _ in range(7):
        toys.invoke("counted")

    def read(more: list[dict[str, str]]) -> float:
        dimensions = [{"Name": "EndpointName", "Value": "counted"}, {"Name": "VariantName", "Value": VARIANT}, *more]
        found = toys.cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=dimensions,
            StartTime=time.time() - 3600,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in found)

    assert wait_until(lambda: read([]) == 7)
    assert read([{"Name": "EndpointConfigName", "Value": "counted"}]) == 7
    assert read([{"Name": "EndpointConfigName", "Value": "another"}]) == 0


def test_a_container_that_ends_in_service_is_started_again(toys: Toys) -> None:
    toys.make("mortal", "mortal")
    toys.make_endpoint("restarted", "mortal")
    with pytest.raises(ClientError, match="ModelError"):
        toys.invoke("restarted", b"die")

    def answers() -> bool:
        try:
            return toys.invoke("restarted") == "mortal"
        except ClientError:
            return False

    assert wait_until(answers)


def test_a_shadow_variant_gets_copies_and_troubles_nobody(toys: Toys) -> None:
    toys.make_model("seen")
    toys.make_model("hidden", "mortal")
    variants = [
        {"VariantName": name, "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        for name in ("seen", "hidden")
    ]
    toys.make_config("mirrored", variants=variants[:1], ShadowProductionVariants=variants[1:])
    toys.make_endpoint("mirrored", "mirrored")
    assert toys.invoke("mirrored", b"die") == "seen"

    def count_starts() -> int:
        return _read_log(toys, "/aws/sagemaker/Endpoints/mirrored").count("toy container, mortal")

    assert wait_until(lambda: count_starts() == 2)


def test_captured_requests_and_answers_reach_s3(toys: Toys) -> None:
    toys.make_model("captured")
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{BUCKET}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    toys.make_config("captured", DataCaptureConfig=capture)
    toys.make_endpoint("watched", "captured")
    toys.invoke("watched", b"7,8", InferenceId="order-1")
    listed = wait_until(
        lambda: toys.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"captured/watched/{VARIANT}/").get("Contents")
    )
    assert listed[0]["Key"].removeprefix(f"captured/watched/{VARIANT}/").count("/") == 4
    line = json.loads(toys.s3.get_object(Bucket=BUCKET, Key=listed[0]["Key"])["Body"].read())
    assert line["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "7,8",
        "encoding": "CSV",
    }
    assert line["captureData"]["endpointOutput"]["data"] == "captured"
    assert (line["eventMetadata"]["inferenceId"], line["eventVersion"]) == ("order-1", "0")


def test_deleting_takes_time_and_ends_the_containers(toys: Toys) -> None:
    toys.make("short")
    toys.make_endpoint("deleted", "short")
    toys.sagemaker.delete_endpoint(EndpointName="deleted")
    with pytest.raises(ClientError, match="not found"):
        toys.invoke("deleted")

    def is_gone() -> bool:
        try:
            assert toys.sagemaker.describe_endpoint(EndpointName="deleted")["EndpointStatus"] == "Deleting"
        except ClientError as error:
            return "Could not find endpoint" in str(error)
        return False

    assert wait_until(is_gone)
    assert not any("/deleted/" in command for command in toys.emulator.list_left())
