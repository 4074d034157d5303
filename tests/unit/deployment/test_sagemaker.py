"""A release at SageMaker: what is asked for, what is adopted after a kill, what is taken for live, what is cleared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from include.declaration import Alarms, Autoscaling, Rollout, SageMakerTarget, Serverless, TrafficRouting
from include.deployment.sagemaker.artifact import pack_model
from include.deployment.sagemaker.names import belongs_to, name_endpoint, name_version, read_version
from include.deployment.sagemaker.requests import plan_release, resolve_image
from include.errors import NothingToGoBackTo, RolledBack, TargetBusy, TargetRefused, TargetUnavailable
from include.settings import Settings
from tests.unit.cloud.fake_aws import FakeAws, make_error
from tests.unit.deployment.hosted import ENDPOINT, Hosted, declare_pipeline, declare_target


@pytest.fixture
def hosted(settings: Settings, tmp_path: Path) -> Hosted:
    return Hosted(settings, declare_pipeline(), FakeAws(), tmp_path)


@pytest.mark.parametrize("name", ["a", "flight_delays", "x" * 63, "ends_", "a" + "_" * 50 + "b"])
def test_names_are_what_sagemaker_takes(name: str) -> None:
    for given in (name_endpoint(name), name_version(name, "1234567", {"a": 1})):
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", given), given
    assert name_version(name, "7", {"a": 1}) == name_version(name, "7", {"a": 1}) != name_version(name, "7", {"a": 2})
    assert read_version(name_version(name, "7", {})) == "7"
    assert belongs_to(name_version(name, "7", {}), name) and not belongs_to(name_version(name + "x", "7", {}), name)


def test_a_pipeline_whose_name_ends_like_a_version_is_not_taken_for_another() -> None:
    assert not belongs_to(name_version("parcels_v2", "3", {}), "parcels")
    assert read_version("somebodys-own-config") is None


def test_a_model_packs_to_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    digests = set()
    for place in ("a", "b"):
        folder = tmp_path / place
        (folder / "code").mkdir(parents=True)
        for name in ("MLmodel", "code/x.py") if place == "a" else ("code/x.py", "MLmodel"):
            (folder / name).write_text(name)
        with pack_model(folder) as artifact:
            digests.add(artifact.sha256)
    assert len(digests) == 1


def test_a_first_version_is_created_and_a_next_one_shifted_with_its_own_alarms(hosted: Hosted) -> None:
    first = hosted.go_live("1")
    assert hosted.aws.list_calls("create_endpoint") == ["create_endpoint_config", "create_endpoint"]
    second = hosted.target.deploy(hosted.make_release("2"))
    assert (second.state, second.previous_version) == ("under_way", "1")
    asked = hosted.aws.endpoints[ENDPOINT]["asked"]
    policy = asked["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {
        "Type": "CANARY",
        "WaitIntervalInSeconds": 60,
        "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
    }
    assert (policy["TerminationWaitInSeconds"], policy["MaximumExecutionTimeoutInSeconds"]) == (120, 1800)
    named = [each["AlarmName"] for each in asked["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]]
    assert named == [f"{second.place}-5xx"] and second.place != first.place
    for query in hosted.aws.alarms[named[0]]["Metrics"][:-1]:
        dimensions = {each["Name"]: each["Value"] for each in query["MetricStat"]["Metric"]["Dimensions"]}
        assert dimensions["EndpointConfigName"] == second.place, "the alarm sees the new fleet alone"
    assert hosted.aws.alarms[named[0]]["Metrics"][-1]["Expression"] == "IF(asked >= 20, failed / asked, 0)"
    assert hosted.aws.alarms[named[0]]["Threshold"] == 0.05


def test_registered_packages_mirror_the_blessing_and_honour_a_rejection(hosted: Hosted) -> None:
    hosted.go_live("1")
    package = hosted.aws.packages[0]
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"]["tollgate_version"] == "1"
    hosted.target.deploy(hosted.make_release("2"))
    hosted.aws.settle("an alarm")
    hosted.aws.packages[1]["ModelApprovalStatus"] = "Rejected"
    with pytest.raises(TargetRefused, match="rejected in SageMaker's registry"):
        hosted.target.deploy(hosted.make_release("2", by="another/run"))
    hosted.aws.packages[1]["ModelApprovalStatus"] = "PendingManualApproval"
    hosted.target.deploy(hosted.make_release("2", by="another/run"))
    assert hosted.aws.packages[1]["ModelApprovalStatus"] == "Approved"


def test_a_rollback_of_the_service_is_never_taken_for_success(hosted: Hosted) -> None:
    """S18: InService again, on the old configuration."""
    hosted.go_live("1")
    progress = hosted.target.deploy(hosted.make_release("2"))
    assert hosted.target.check("2").state == "under_way"
    hosted.aws.settle("Auto-rollback: alarm tollgate-5xx is in ALARM state")
    assert hosted.aws.endpoints[ENDPOINT]["EndpointStatus"] == "InService"
    with pytest.raises(RolledBack, match="alarm tollgate-5xx is in ALARM") as caught:
        hosted.target.check("2")
    error = caught.value
    assert not error.retryable and error.champion == "1"
    assert (error.asked_config, error.live_config) == (progress.place, hosted.live_config)
    status = hosted.target.status()
    assert (status.served_version, status.declared_version, status.agree) == ("1", "2", False)
    assert "alarm tollgate-5xx" in str(status.problem)


def test_a_second_try_of_a_run_that_was_rolled_back_does_not_roll_out_again(hosted: Hosted) -> None:
    hosted.go_live("1")
    hosted.target.deploy(hosted.make_release("2"))
    hosted.aws.settle("an alarm")
    with pytest.raises(RolledBack, match="an alarm"):
        hosted.target.deploy(hosted.make_release("2"))
    assert hosted.aws.list_calls("update_endpoint") == ["update_endpoint"]
    # Whoever asks for it anew means it.
    assert hosted.target.deploy(hosted.make_release("2", by="parcels.deploy_model/by-hand")).state == "under_way"
    hosted.aws.settle()
    assert hosted.target.check("2").state == "live"


@pytest.mark.parametrize("status", ["UpdateRollbackFailed", "OutOfService"])
def test_an_endpoint_in_neither_state_is_a_failure(hosted: Hosted, status: str) -> None:
    hosted.go_live("1")
    hosted.target.deploy(hosted.make_release("2"))
    hosted.aws.settle("an alarm")
    hosted.aws.endpoints[ENDPOINT]["EndpointStatus"] = status
    with pytest.raises(RolledBack) as caught:
        hosted.target.check("2")
    assert caught.value.endpoint_status == status
    assert hosted.target.status().state == "broken"


def test_a_first_version_that_fails_is_said_and_created_anew(hosted: Hosted) -> None:
    hosted.target.deploy(hosted.make_release("1"))
    hosted.aws.settle("The primary container did not pass the ping health check.")
    with pytest.raises(RolledBack, match="ping health check"):
        hosted.target.check("1")
    with pytest.raises(TargetBusy, match="being deleted first"):
        hosted.target.deploy(hosted.make_release("1", by="another/run"))
    hosted.aws.settle()
    hosted.target.deploy(hosted.make_release("1", by="another/run"))
    hosted.aws.settle()
    assert hosted.target.check("1").state == "live"


def test_another_change_under_way_is_waited_for(hosted: Hosted) -> None:
    hosted.go_live("1")
    hosted.target.deploy(hosted.make_release("2"))
    with pytest.raises(TargetBusy, match="Updating; version 3 has to wait") as caught:
        hosted.target.deploy(hosted.make_release("3"))
    assert caught.value.retryable
    assert not [name for name in hosted.aws.models if "-v3-" in name]


def test_the_same_version_again_asks_for_nothing(hosted: Hosted) -> None:
    hosted.go_live("1")
    before = hosted.aws.list_changes()
    assert hosted.target.deploy(hosted.make_release("1", by="another/run")).state == "live"
    assert hosted.aws.list_changes() == before


def test_what_no_rollback_needs_is_cleared_away_only_once_the_next_is_live(hosted: Hosted) -> None:
    for number in ("1", "2", "3"):
        hosted.go_live(number)
    hosted.target.deploy(hosted.make_release("4"))
    hosted.aws.settle("an alarm")
    with pytest.raises(RolledBack):
        hosted.target.check("4")
    kept = sorted(str(read_version(name)) for name in hosted.aws.configs)
    assert kept == ["1", "2", "3", "4"], "nothing goes while what was asked for is not live"
    hosted.go_live("5")
    for kind in (hosted.aws.configs, hosted.aws.models):
        assert sorted(str(read_version(name)) for name in kind) == ["2", "3", "5"]
    assert sorted({str(read_version(name.rpartition("-")[0])) for name in hosted.aws.alarms}) == ["2", "3", "5"]
    assert len(hosted.aws.packages) == 5, "the registry forgets nothing"


def test_going_back_is_one_guarded_update_to_what_served_before(hosted: Hosted) -> None:
    """S11."""
    first = hosted.go_live("1")
    hosted.go_live("2")
    changes = len(hosted.aws.list_changes())
    back = hosted.target.roll_back(None, "parcels.rollback/run", "somebody asked")
    assert (back.version, back.place, back.previous_version) == ("1", first.place, "2")
    assert hosted.aws.list_changes()[changes:] == ["update_endpoint"]
    asked = hosted.aws.endpoints[ENDPOINT]["asked"]["DeploymentConfig"]
    assert asked["AutoRollbackConfiguration"]["Alarms"] == [{"AlarmName": f"{first.place}-5xx"}]
    # A second try, while it is under way and after.
    assert hosted.target.roll_back(None, "parcels.rollback/run", "again").state == "under_way"
    hosted.aws.settle()
    assert hosted.target.roll_back(None, "parcels.rollback/run", "again").state == "live"
    assert hosted.aws.list_changes()[changes:].count("update_endpoint") == 1
    hosted.record(hosted.target.check("1"), left="2")
    with pytest.raises(NothingToGoBackTo, match="no earlier configuration"):
        hosted.target.roll_back(None, "parcels.rollback/another", "further")


def test_only_a_version_that_served_can_be_gone_back_to(hosted: Hosted) -> None:
    with pytest.raises(NothingToGoBackTo, match="serves nothing yet"):
        hosted.target.roll_back(None, "a/run", "why")
    hosted.go_live("1")
    hosted.go_live("2")
    with pytest.raises(NothingToGoBackTo, match="served no version 7"):
        hosted.target.roll_back("7", "a/run", "why")
    with pytest.raises(NothingToGoBackTo, match="served no version 2 before"):
        hosted.target.roll_back("2", "a/run", "it is live")
    hosted.aws.configs.pop(next(name for name in hosted.aws.configs if "-v1-" in name))
    with pytest.raises(NothingToGoBackTo, match="any more"):
        hosted.target.roll_back("1", "a/run", "why")


def test_a_target_that_does_not_answer_is_said_and_not_raised_by_status(hosted: Hosted) -> None:
    hosted.go_live("1")

    def fail(*_: Any) -> None:
        raise make_error("ThrottlingException", "Rate exceeded", "X")

    hosted.aws.intercept = fail
    status = hosted.target.status()
    assert (status.state, status.served_version, status.agree) == ("down", None, False)
    assert hosted.target.find_declared() is None
    for call in (lambda: hosted.target.check("1"), lambda: hosted.target.deploy(hosted.make_release("2"))):
        with pytest.raises(TargetUnavailable):
            call()


class Killed(BaseException):
    """As a SIGKILL is: nothing of ours handles it."""


def _deploy_with_death(hosted: Hosted, place: int, moment: str) -> bool:
    """Deploy version 2, dying at its ``place``-th call; True when there was such a call."""
    seen = 0

    def die(now: str, *_: Any) -> None:
        nonlocal seen
        if now == moment:
            seen += 1
            if seen == place:
                raise Killed

    hosted.aws.intercept = die
    try:
        hosted.target.deploy(hosted.make_release("2"))
    except Killed:
        return True
    finally:
        hosted.aws.intercept = lambda *_: None
    return False


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_call_the_next_try_makes_nothing_twice(settings: Settings, tmp_path: Path, moment: str) -> None:
    place = 0
    while True:
        place += 1
        hosted = Hosted(settings, declare_pipeline(f"p{moment}{place}"), FakeAws(), tmp_path)
        hosted.target.deploy(hosted.make_release("1"))
        hosted.aws.settle()
        hosted.record(hosted.target.check("1"))
        made = len(hosted.aws.list_changes())
        died = _deploy_with_death(hosted, place, moment)
        progress = hosted.target.deploy(hosted.make_release("2"))
        assert progress.state == "under_way"
        changes = hosted.aws.list_changes()[made:]
        wanted = ["put_object", "create_model_package", "create_model", "create_endpoint_config", "update_endpoint"]
        assert changes == wanted, f"died {moment} call {place}"
        hosted.aws.settle()
        assert hosted.target.check("2").state == "live"
        if not died:
            break
    assert place > 9, "there were calls to die at"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_any_call_may_fail_once_and_the_retry_ends_right(settings: Settings, tmp_path: Path, moment: str) -> None:
    """Throttled before it is taken; the answer lost after it was."""
    place = 0
    while True:
        place += 1
        hosted = Hosted(settings, declare_pipeline(f"f{moment}{place}"), FakeAws(), tmp_path)
        seen = 0

        def fail(now: str, _service: str, operation: str, _parameters: Any, place: int = place) -> None:
            nonlocal seen
            if now == moment:
                seen += 1
                if seen == place:
                    if moment == "after":
                        raise ConnectionResetError
                    raise make_error("ThrottlingException", "Rate exceeded", operation)

        hosted.aws.intercept = fail
        for _ in range(3):
            try:
                hosted.target.deploy(hosted.make_release("1"))
                hosted.aws.settle()
                progress = hosted.target.check("1")
            except TargetUnavailable:
                continue
            assert progress.state == "live"
            break
        else:
            pytest.fail(f"call {place} was never overcome")
        changes = hosted.aws.list_changes()
        assert len(changes) == len(set(changes)), f"{moment} call {place}: {changes}"
        assert [len(each) for each in (hosted.aws.models, hosted.aws.configs, hosted.aws.packages)] == [1, 1, 1]
        if seen < place:
            break
    assert place > 9


def test_scaling_is_as_declared_and_ends_with_the_declaration(settings: Settings, tmp_path: Path) -> None:
    scaling = Autoscaling(min_capacity=2, max_capacity=6, target_invocations=500)
    hosted = Hosted(settings, declare_pipeline(autoscaling=scaling), FakeAws(), tmp_path)
    hosted.go_live("1")
    resource = f"endpoint/{ENDPOINT}/variant/AllTraffic"
    assert hosted.aws.scaled[resource]["MaxCapacity"] == 6
    assert hosted.aws.policies[resource]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 500
    hosted.target.deploy(hosted.make_release("2"))
    assert hosted.aws.endpoints[ENDPOINT]["asked"]["RetainAllVariantProperties"] is True
    hosted.aws.settle()
    hosted.target.check("2")
    hosted.pipeline = declare_pipeline()
    hosted.target.check("2")
    assert hosted.aws.scaled == {}


def test_a_serverless_endpoint_has_no_fleet_no_alarms_and_no_shift(settings: Settings, tmp_path: Path) -> None:
    at_once = Rollout(traffic_routing_configuration=TrafficRouting(type="ALL_AT_ONCE"))
    pipeline = declare_pipeline(rollout=at_once, serverless=Serverless(memory_size_in_mb=3072, max_concurrency=5))
    hosted = Hosted(settings, pipeline, FakeAws(), tmp_path)
    hosted.go_live("1")
    hosted.target.deploy(hosted.make_release("2"))
    assert hosted.aws.alarms == {} and "DeploymentConfig" not in hosted.aws.endpoints[ENDPOINT]["asked"]
    variant = hosted.aws.configs[hosted.live_config]["ProductionVariants"][0]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant and "DataCaptureConfig" not in hosted.aws.configs[hosted.live_config]


def test_what_is_captured_goes_below_the_declared_prefix(hosted: Hosted) -> None:
    hosted.go_live("1")
    capture = hosted.aws.configs[hosted.live_config]["DataCaptureConfig"]
    assert capture["DestinationS3Uri"] == "s3://models/tollgate/parcels/captured"
    assert capture["InitialSamplingPercentage"] == 10


def test_latency_is_bounded_in_microseconds_and_only_with_enough_requests() -> None:
    pipeline = declare_pipeline(alarms=Alarms(model_latency_ms=25, period=10))
    target = pipeline.deployment.target
    assert isinstance(target, SageMakerTarget)
    slow = plan_release(pipeline, target, "1", "s3://models/key").alarms[1]
    assert (slow["Threshold"], slow["Metrics"][-1]["Expression"]) == (25_000, "IF(asked >= 20, latency, 0)")
    assert [query["MetricStat"]["Stat"] for query in slow["Metrics"][:-1]] == ["Sum", "p99"]


def test_mlflows_image_is_the_one_in_the_roles_account() -> None:
    image = resolve_image(declare_target(image_uri="mlflow"))
    assert re.fullmatch(r"123456789012\.dkr\.ecr\.us-east-1\.amazonaws\.com/mlflow-pyfunc:\d+\.\d+\.\d+", image)


def test_retiring_leaves_nothing_but_artifacts_and_registry(hosted: Hosted) -> None:
    hosted.go_live("1")
    hosted.go_live("2")
    hosted.target.retire()
    hosted.aws.settle()
    hosted.target.retire()
    aws = hosted.aws
    assert (aws.endpoints, aws.configs, aws.models, aws.alarms) == ({}, {}, {}, {})
    assert len(aws.objects) == 2 and len(aws.packages) == 2
