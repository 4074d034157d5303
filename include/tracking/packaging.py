"""A fitted scorer as the folder that MLflow lays out: signature, example, pinned requirements, the code it needs."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.contracts import TrainingSet
from include.declaration import Pipeline
from include.errors import UnsafeModel
from include.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model, ModelSignature

# What a scorer needs at run time, pinned to what is installed; given explicitly because MLflow's own inference
# imports the model in a child process for seconds.
_REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "msgspec")
# How strict the endpoint is about rows that do not fit.
_REQUEST_RULES = ("unknown_columns", "required_nulls", "number_texts")
# The smallest part of the project that lets a stock MLflow server, elsewhere, import the scorer's classes.
_CODE = ("__init__.py", "errors.py", "scoring")


def hash_model_files(folder: Path) -> dict[str, str]:
    """SHA-256 in hex of every file below ``folder``, by relative POSIX path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _build_signature(pipeline: Pipeline) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    kinds = {"number": "double", "string": "string"}
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(kinds[column.type], name, required=column.required) for name, column in pipeline.request.columns.items()
    ]
    return ModelSignature(Schema(inputs), Schema([TensorSpec(np.dtype("float64"), (-1,))]))


def describe_model(pipeline: Pipeline, training_set: TrainingSet) -> dict[str, Any]:
    """What serving must know of a model without asking MLflow: its ``metadata["tollgate"]``."""
    columns = pipeline.request.columns.items()
    return {
        "pipeline": pipeline.name,
        "task": "binary",
        "request": {
            name: {
                "type": column.type,
                "required": column.required,
                "description": column.description,
                "private": column.private,
            }
            for name, column in columns
        },
        "request_rules": {name: getattr(pipeline.request, name) for name in _REQUEST_RULES},
        "prediction_rules": [rule.model_dump() for rule in pipeline.deployment.prediction_rules],
        "data_capture": pipeline.deployment.data_capture.model_dump(),
        "partition": training_set.partition,
        "training_set_digest": training_set.digest,
        "features": [feature.name for feature in pipeline.features],
    }


def _prepare_example(pipeline: Pipeline, frame: pd.DataFrame) -> pd.DataFrame:
    example = frame[[name for name in pipeline.request.columns if name in frame.columns]].head(5).copy()
    for name in example.columns:
        # The signature is strict: a whole number where it says double is an error.
        if pipeline.request.columns[name].type == "number":
            example[name] = example[name].astype("float64")
        else:
            text = example[name].astype(object)
            example[name] = text.where(text.notna(), None)
    return example


def _name_estimator(scorer: Any) -> str:
    """Type of what follows the preparation: what a person calls the model's type."""
    estimator = scorer.estimator_
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return type(estimator).__name__


@dataclass(frozen=True)
class PackagedModel:
    """The SHA-256 of each file, and ``scoring``: "compiled", or "pipeline: " and why scikit-learn has to serve it."""

    files: dict[str, str]
    scoring: str


def write_model(
    settings: Settings,
    folder: Path,
    scorer: Any,
    pipeline: Pipeline,
    training_set: TrainingSet,
    requests: pd.DataFrame,
    header: Model,
) -> PackagedModel:
    """Write the model as MLflow lays it out below the new ``folder``, its compiled form beside it if it has one.

    The compiled form must answer ``requests`` (the holdout), and worse, as the scorer does. Raises UnsafeModel when the
    scorer holds a type that would be refused on loading.
    """
    import mlflow.sklearn
    import skops.io

    from include.scoring.compiled.build import build_compiled_form
    from include.scoring.compiled.document import FILE_NAME
    from include.scoring.scorer import TRUSTED_TYPES

    foreign = sorted(set(skops.io.get_untrusted_types(data=skops.io.dumps(scorer))) - set(TRUSTED_TYPES))
    if foreign:
        raise UnsafeModel(
            f"The fitted model would need types that are not trusted: {', '.join(foreign)}.",
            next_step="Use an estimator made of trusted types (see include/scoring/scorer.py, TRUSTED_TYPES).",
            types=tuple(foreign),
            path=str(folder),
        )
    compiled = build_compiled_form(scorer, requests, settings.native_root, settings.c_compiler)
    with tempfile.TemporaryDirectory() as staging:
        package = Path(staging) / "include"
        package.mkdir()
        for name in _CODE:
            source = PROJECT_ROOT / "include" / name
            if source.is_dir():
                shutil.copytree(source, package / name, ignore=shutil.ignore_patterns("__pycache__", "compiled"))
            else:
                shutil.copy(source, package / name)
        mlflow.sklearn.save_model(
            scorer,
            str(folder),
            code_paths=[str(package)],
            mlflow_model=header,
            serialization_format="skops",
            signature=_build_signature(pipeline),
            input_example=_prepare_example(pipeline, requests),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
            metadata={
                "tollgate": {
                    **describe_model(pipeline, training_set),
                    "estimator": _name_estimator(scorer),
                    "scoring": compiled.facts,
                }
            },
            skops_trusted_types=list(TRUSTED_TYPES),
        )
    if compiled.content is not None:
        (folder / FILE_NAME).write_bytes(compiled.content)
    scoring = "compiled" if compiled.content is not None else f"pipeline: {compiled.facts['reason']}"
    return PackagedModel(hash_model_files(folder), scoring)
