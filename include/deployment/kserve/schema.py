"""What KServe takes: every InferenceService is checked against its vendored schema before it is sent or written.

The schema's own origin, licence and making are in ``schema/ORIGIN.md``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.errors import TargetRefused

SCHEMA_FILE = Path(__file__).parent / "schema" / "inferenceservice.v1beta1.json"
# The release of KServe that it is of.
KSERVE_RELEASE = "0.21.0"


@functools.cache
def _load_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes()))


def find_problems(manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with an InferenceService, each with its place; empty when KServe's schema takes it.

    A field that the schema does not have is wrong as well: an API server would drop it without a word.
    """
    found = sorted(_load_validator().iter_errors(manifest), key=lambda error: list(map(str, error.absolute_path)))
    return [f"{'.'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message}" for error in found]


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise TargetRefused, naming every place, when KServe's schema does not take the InferenceService."""
    problems = find_problems(manifest)
    if problems:
        raise TargetRefused(
            f"KServe {KSERVE_RELEASE} would not take this InferenceService: {'; '.join(problems)}.",
            next_step="Correct what the pipeline's deployment.target declares.",
            target="kserve",
            call="check_manifest",
            code="schema",
            problems=tuple(problems),
        )
