"""What AWS's library raises becomes an error that says whether a retry can help, and shows no secret."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as aws

from include.cloud.calls import Aws
from include.cloud.failures import hide_secrets, translate
from include.errors import TargetRefused, TargetUnavailable, TollgateError
from tests.unit.cloud.fake_aws import FakeAws, make_error


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "SlowDown", "ExpiredToken", "ExpiredTokenException", "RequestTimeout", "InternalFailure"],
)
def test_what_passes_can_be_tried_again(code: str) -> None:
    error = translate(make_error(code, "wait", "CreateModel"), "sagemaker", "create_model")
    assert isinstance(error, TargetUnavailable) and error.retryable
    assert (error.target, error.call, error.code) == ("sagemaker", "create_model", code)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_answer_without_a_code_is_judged_by_its_status(status: int) -> None:
    assert translate(make_error("", "", "X", status), "s3", "put_object").retryable


@pytest.mark.parametrize(
    "code", ["ValidationException", "AccessDeniedException", "ResourceLimitExceeded", "NoSuchBucket"]
)
def test_what_stays_is_a_persons_to_mend(code: str) -> None:
    error = translate(make_error(code, "no", "CreateModel"), "sagemaker", "create_model")
    assert isinstance(error, TargetRefused) and not error.retryable


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "403"])
def test_who_is_not_allowed_is_told_where_the_permissions_are(code: str) -> None:
    error = translate(make_error(code, "Forbidden", "HeadObject", 403), "s3", "head_object")
    assert isinstance(error, TargetRefused) and "docs/iam_policy.json" in str(error.next_step)


@pytest.mark.parametrize(
    ("raised", "retryable"),
    [
        (aws.EndpointConnectionError(endpoint_url="https://x"), True),
        (aws.ConnectTimeoutError(endpoint_url="https://x"), True),
        (aws.ReadTimeoutError(endpoint_url="https://x"), True),
        (aws.ConnectionClosedError(endpoint_url="https://x"), True),
        (aws.CredentialRetrievalError(provider="role", error_msg="away"), True),
        (ConnectionResetError(), True),
        (aws.NoCredentialsError(), False),
        (aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), False),
        (aws.ParamValidationError(report="Unknown parameter"), False),
    ],
)
def test_what_never_reached_aws_is_told_from_what_never_will(raised: Exception, retryable: bool) -> None:
    assert translate(raised, "sagemaker", "describe_endpoint").retryable is retryable


def test_no_message_shows_who_signed_or_how() -> None:
    secret = "AKIAIOSFODNN7EXAMPLE X-Amz-Signature=abcdef x-amz-security-token: token Authorization: AWS4-HMAC"
    shown = hide_secrets(secret)
    assert not any(part in shown for part in ("AKIA", "abcdef", "token:", "AWS4"))
    denied = translate(make_error("SignatureDoesNotMatch", f"signed with {secret}", "X", 403), "s3", "put_object")
    assert "signed with" not in f"{denied} {denied.facts}"
    error = translate(make_error("ValidationException", secret, "X"), "s3", "put_object")
    assert "AKIA" not in f"{error} {error.facts}"


@pytest.mark.parametrize("written", ["Authorization: Bearer {}", "value b'bearer {}'", "authorization=basic {}"])
def test_no_message_shows_what_a_header_proves(written: str) -> None:
    assert "eyJhbGciOi" not in hide_secrets(written.format("eyJhbGciOi.eyJzdWIiOi-J_.sig"))
    assert hide_secrets("invalid bearer token") == "invalid bearer token"


def test_a_name_that_is_missing_or_taken_is_no_failure() -> None:
    fake = FakeAws()
    calls = Aws(fake)
    assert calls.find("sagemaker", "describe_model", ModelName="m") is None
    request: dict[str, Any] = {"ModelName": "m", "PrimaryContainer": {"Image": "i"}, "ExecutionRoleArn": "r" * 20}
    assert calls.make("sagemaker", "create_model", **request)
    assert not calls.make("sagemaker", "create_model", **request)
    calls.drop("sagemaker", "delete_model", ModelName="m")
    calls.drop("sagemaker", "delete_model", ModelName="m")
    with pytest.raises(TargetRefused, match="create_model is no request"):
        calls.make("sagemaker", "create_model", **{**request, "Nonsense": 1})


def test_listings_are_read_to_their_last_page() -> None:
    fake = FakeAws()
    fake.packages = [
        {
            "ModelPackageGroupName": "g",
            "ModelPackageArn": str(n),
            "ModelPackageDescription": "",
            "ModelApprovalStatus": "",
        }
        for n in range(3)
    ]
    found = Aws(fake).each("sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName="g")
    assert [each["ModelPackageArn"] for each in found] == ["0", "1", "2"]


def test_an_error_keeps_its_cause() -> None:
    def fail(*_: Any) -> None:
        raise aws.EndpointConnectionError(endpoint_url="https://x")

    fake = FakeAws()
    fake.intercept = fail
    with pytest.raises(TollgateError) as caught:
        Aws(fake).call("sagemaker", "describe_model", ModelName="m")
    assert isinstance(caught.value.__cause__, aws.EndpointConnectionError)
