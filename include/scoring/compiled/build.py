"""Making the compiled form of a fitted model while it is packaged: converted, compared, or left out with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from include.errors import CompiledFormRefused
from include.scoring.compiled.convert import convert_scorer
from include.scoring.compiled.document import read_document, write_document
from include.scoring.compiled.native import compile_walk
from include.scoring.compiled.parity import check_parity
from include.scoring.scorer import Scorer


@dataclass(frozen=True)
class CompiledForm:
    """``content`` is the file, or None; ``facts`` say so to whoever serves the model: ``compiled``, ``reason`` why not,
    and over how many ``rows`` the largest difference from the scikit-learn model was ``max_difference``."""

    content: bytes | None
    facts: dict[str, Any]


def build_compiled_form(
    scorer: Scorer, requests: pd.DataFrame, native_root: Path, compiler: str | None
) -> CompiledForm:
    """The compiled form of ``scorer``, compared with it on ``requests`` and worse. Raises nothing: a model without one
    is a model that scikit-learn serves."""
    try:
        content = write_document(convert_scorer(scorer))
        # What is compared is what was written and read again, as serving will.
        parity = check_parity(scorer, read_document(content), requests, _find_library(native_root, compiler))
    except CompiledFormRefused as error:
        return _leave_out(str(error.reason))
    except Exception as error:  # noqa: BLE001 (a defect in here must not lose a fitted model)
        return _leave_out(f"making it failed with {type(error).__name__}: {error}")
    facts = {"compiled": True, "reason": "", "rows": parity.rows, "max_difference": parity.max_difference}
    return CompiledForm(content, facts)


def _find_library(native_root: Path, compiler: str | None) -> Path | None:
    try:
        return compile_walk(native_root, compiler)
    except CompiledFormRefused:
        return None


def _leave_out(reason: str) -> CompiledForm:
    return CompiledForm(None, {"compiled": False, "reason": reason, "rows": 0, "max_difference": None})
