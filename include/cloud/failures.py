"""What AWS's library raises, as Tollgate's errors: what may succeed later, what will not, and nothing secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from include.errors import TargetRefused, TargetUnavailable, TollgateError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# Codes of several services for the same thing. Credentials that expired are renewed by whoever gave them.
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "SlowDown",
    "ModelNotReadyException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "ExpiredIdentityToken"}
# S3 answers HEAD without a word: with "400" where the token has expired, with "403" where it is not allowed.
_LATER = {
    "400",
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalFailure",
    "ServiceUnavailable",
    "InternalServerError",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "403",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "OptInRequired",
}
_MISSING = {"404", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException", "ObjectNotFoundException"}
_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|(?i:x-amz-(?:signature|security-token|credential)|authorization)\s*[=:]\s*(?:(?i:bearer|basic)\s+)?\S+"
    # Alone where http.client quotes a header that it does not send; "bearer token" is no secret.
    r"|\b(?i:bearer|basic)\s+[\w.~+/=-]{16,}"
)
_LONGEST = 500


def hide_secrets(text: str) -> str:
    """A message without what identifies or proves a caller, to AWS or to Kubernetes."""
    return _SECRET.sub("(not shown)", text)[:_LONGEST]


def translate(error: Exception, service: str, call: str) -> TollgateError:
    """The error to raise for what botocore raised in ``call`` of ``service``; facts: ``target``, ``call``, ``code``."""
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _translate_answer(error, service, call)
    code = type(error).__name__
    facts = {"target": service, "call": call, "code": code}
    if isinstance(
        error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.ProfileNotFound | aws.NoRegionError
    ):
        return TargetRefused(
            f"AWS was not asked ({service}.{call}): {hide_secrets(str(error)).rstrip('.')}.",
            next_step="Give the connection that the target declares its credentials, or this machine a role.",
            **facts,
        )
    reached = (
        aws.HTTPClientError,
        aws.ConnectionError,
        aws.CredentialRetrievalError,
        aws.MetadataRetrievalError,
        aws.ReadTimeoutError,
        aws.ResponseStreamingError,
        OSError,
    )
    if isinstance(error, reached):
        return TargetUnavailable(
            f"AWS did not answer {service}.{call} ({code}).",
            next_step="It is asked again; whatever the request made is found then.",
            **facts,
        )
    return TargetRefused(
        f"{service}.{call} is no request that AWS takes: {hide_secrets(str(error))}",
        next_step="Correct what the pipeline's deployment.target declares.",
        **facts,
    )


def _translate_answer(error: ClientError, service: str, call: str) -> TollgateError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    said = hide_secrets(str(error.response.get("Error", {}).get("Message", "")))
    facts: dict[str, Any] = {"target": service, "call": call, "code": code, "said": said}
    if code in _THROTTLED | _EXPIRED | _LATER or status == 429 or status >= 500:
        step = "It is tried again with growing pauses."
        if code in _EXPIRED:
            step = "It is tried again; if it stays so, renew the credentials of the connection or the role."
        return TargetUnavailable(f"AWS put {service}.{call} off ({code or status}).", next_step=step, **facts)
    if code in _DENIED:
        # What such an answer says may hold the signed request.
        facts["said"] = ""
        return TargetRefused(
            f"AWS does not let us call {service}.{call} ({code}).",
            next_step="See docs/iam_policy.json for what the connection's role must be allowed.",
            **facts,
        )
    return TargetRefused(
        f"AWS refused {service}.{call} ({code}): {said.rstrip('.')}.",
        next_step="Mend what it names, then run the same again.",
        **facts,
    )


def is_missing(error: TollgateError) -> bool:
    """Whether a refusal says that what was named is not there. SageMaker has no code of its own for that."""
    code, said = error.facts.get("code", ""), str(error.facts.get("said", "")).lower()
    told = "could not find" in said or "does not exist" in said or "not found" in said
    return code in _MISSING or (code in ("ValidationException", "ValidationError") and told)


def is_taken(error: TollgateError) -> bool:
    """Whether a refusal says that the name is in use: somebody, perhaps a request of ours that was cut, made it."""
    code, said = error.facts.get("code", ""), str(error.facts.get("said", "")).lower()
    return "already exist" in said or code in ("PreconditionFailed", "412", "ConditionalRequestConflict")
