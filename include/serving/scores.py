"""What computes a model's scores: its compiled form, with or without native code, or the scikit-learn pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from include.errors import CompiledFormRefused, ModelUnusable, TollgateError
from include.serving.decode import RequestRows
from include.serving.schema import RequestSchema
from include.settings import load_settings


class Scores(Protocol):
    """What answers a request: one probability for each row."""

    def __call__(self, request: RequestRows) -> list[float]:
        """Score the rows of one request, in order."""


@dataclass(frozen=True)
class CompiledScores:
    """``path_name`` is "compiled-native" or "compiled"; ``note`` says why trees are not walked by native code."""

    scores: Scores
    path_name: str
    note: str


def load_compiled(path: Path, schema: RequestSchema, metadata: dict[str, Any]) -> CompiledScores:
    """The compiled form of the model in ``path``, without scikit-learn and pandas.

    Native code is made for this machine once, here and not while a request waits. Raises TollgateError when training
    left the form out, or it cannot be used; its fact ``reason`` says why.
    """
    from include.scoring.compiled.document import FILE_NAME, Trees, read_file
    from include.scoring.compiled.native import compile_walk
    from include.scoring.compiled.scorer import CompiledScorer, RequestField

    facts = metadata.get("scoring")
    if not isinstance(facts, dict) or facts.get("compiled") is not True:
        reason = facts.get("reason") if isinstance(facts, dict) else None
        raise refuse_model(path, str(reason or "it was packaged without a compiled form"))
    request = [RequestField(column.name, column.kind, column.nullable) for column in schema.columns]
    library, note = None, ""
    try:
        document = read_file(path / FILE_NAME)
        if isinstance(document.model, Trees):
            settings = load_settings()
            try:
                library = compile_walk(settings.native_root, settings.c_compiler)
            except CompiledFormRefused as error:
                note = str(error.reason)
        scorer = CompiledScorer(document, request, library)
    except TollgateError:
        raise
    except Exception as error:  # a hostile file may break its reader in any way; the model beside it still serves
        raise refuse_model(path, f"its compiled form failed with {type(error).__name__}: {error}") from error
    return CompiledScores(
        scores=lambda request: scorer.score(request.values),
        path_name="compiled-native" if scorer.native else "compiled",
        note=note or scorer.native_problem,
    )


def load_pipeline(path: Path, schema: RequestSchema) -> Scores:
    """The scikit-learn model in ``path``. Raises UnsafeModel, and ModelUnusable when it cannot be loaded."""
    from include.scoring.scorer import load_scorer

    try:
        scorer = load_scorer(path)
    except TollgateError:
        raise
    except Exception as error:  # a damaged file fails in many ways; all mean the same here
        raise refuse_model(path, f"loading it failed with {type(error).__name__}: {error}") from error

    import numpy as np
    import pandas as pd

    # Text stays Python objects: None is null there, and no character is refused on the way.
    dtypes: dict[str, Any] = {c.name: np.float64 if c.kind == "number" else object for c in schema.columns}

    def score_frame(request: RequestRows) -> list[float]:
        frame = pd.DataFrame(
            {name: pd.Series(values, dtype=dtypes[name], copy=False) for name, values in request.columns.items()}
        )
        scored: list[float] = np.asarray(scorer.predict(frame), dtype=np.float64).reshape(-1).tolist()
        return scored

    return score_frame


def refuse_model(path: Path, reason: str) -> ModelUnusable:
    """The refusal of a model directory."""
    return ModelUnusable(
        f"The model in {path} cannot be served: {reason}.",
        next_step="Register a sound version and deploy that; what was served before keeps being served.",
        path=str(path),
        reason=reason,
    )
