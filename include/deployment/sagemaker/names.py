"""Names at SageMaker: the same for the same version and content, so that whoever comes next finds what is there."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

# SageMaker gives a name 63 characters: letters, digits and single places between them for "-".
_LONGEST_BASE = 40
_DIGEST = 10
_VERSIONED = re.compile(rf"-v(\d+)-[0-9a-f]{{{_DIGEST}}}$")
VARIANT = "AllTraffic"


def digest_content(content: Any) -> str:
    """Ten hex characters of the SHA-256 of ``content``, plain JSON types."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


def name_endpoint(pipeline_name: str) -> str:
    """The pipeline's endpoint, and its model package group. "_" is no character of SageMaker's."""
    base = "tollgate-" + pipeline_name.replace("_", "-")
    if len(base) <= _LONGEST_BASE and not base.endswith("-"):
        return base
    return f"{base[: _LONGEST_BASE - _DIGEST - 1].rstrip('-')}-{digest_content(pipeline_name)}"


def name_version(pipeline_name: str, version: str, content: Any) -> str:
    """The name of a Model or an EndpointConfig of ``version`` that holds ``content``."""
    return f"{name_endpoint(pipeline_name)}-v{version}-{digest_content(content)}"


def read_version(name: str | None) -> str | None:
    """The version in such a name; None for one that we did not give."""
    found = _VERSIONED.search(name or "")
    return found[1] if found else None


def belongs_to(name: str, pipeline_name: str) -> bool:
    """Whether such a name is of this pipeline, and not of one whose name begins like it."""
    found = _VERSIONED.search(name)
    return found is not None and name[: found.start()] == name_endpoint(pipeline_name)
