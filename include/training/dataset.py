"""A window of validated partitions to the files that every candidate is fitted and judged on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from include.contracts import DAY_COLUMN, LABEL_COLUMN, TrainingSet, Window
from include.declaration.models import Pipeline
from include.errors import TrainingDataInvalid
from include.scoring.row_features import RowFeatures
from include.settings import Settings
from include.training.assembly import assemble
from include.training.labels import check_labels, make_labels
from include.training.leakage import probe_leakage
from include.training.references import hash_references, load_references, write_tables
from include.training.split import check_split, name_days, split_rows
from include.training.storage import find_stored_set, store_set, to_arrow

# Part of every digest: raise it when this package makes other files of the same input.
FORMAT = 1


def prepare_training_set(settings: Settings, pipeline: Pipeline, window: Window) -> TrainingSet:
    """Label, assemble, probe and split the rows of ``window``; write and return the training set.

    In ``folder``: ``train.parquet`` and ``holdout.parquet`` (request columns, ``label``, ``event_day``; in original
    order), ``features.parquet`` (the features of both, training rows first), ``tables.json`` and ``set.json``. The
    digest names window, declaration, the pipeline's code and its reference tables; a set that is already there is
    returned as it is.

    Raises TrainingDataInvalid (labels, reference tables, requests, too few rows, one class) and LeakageFound.
    """
    started = time.monotonic()
    references = load_references(pipeline)
    digest = _name_set(pipeline, window, references)
    folder = settings.work_root / pipeline.name / "sets" / digest
    stored = find_stored_set(folder)
    if stored is not None:
        os.utime(folder)  # used again: housekeeping removes what was not used for long
        return stored

    rows, partition = read_partitions(pipeline, window)
    labels = make_labels(pipeline, rows)
    for position, ref in enumerate(window.partitions):
        check_labels(pipeline, ref.partition, labels[partition == position])
    requests = assemble(pipeline, rows, references)
    probe_leakage(pipeline, rows, requests, lambda changed: assemble(pipeline, changed, references))

    # Rows without a label have done their part: others were assembled from them.
    labelled = ~np.isnan(labels)
    prepared = requests[labelled].copy()
    prepared[LABEL_COLUMN] = labels[labelled]
    prepared[DAY_COLUMN] = name_days(pipeline, rows)[labelled]
    prepared = prepared.reset_index(drop=True)
    names = [ref.partition for ref in window.partitions]
    split = split_rows(names, partition[labelled], prepared[DAY_COLUMN].to_numpy())
    check_split(pipeline, labels[labelled], split)
    train, holdout = prepared[~split.held_out], prepared[split.held_out]
    tables_json = write_tables(pipeline, references)
    made = TrainingSet(
        pipeline=pipeline.name,
        partition=window.key,
        folder=str(folder),
        digest=digest,
        window_digest=window.digest,
        train_rows=len(train),
        holdout_rows=len(holdout),
        train_base_rate=float(train[LABEL_COLUMN].mean()),
        holdout_base_rate=float(holdout[LABEL_COLUMN].mean()),
        missing_labels=int((~labelled).sum()),
        holdout=split.holdout,
        seconds=round(time.monotonic() - started, 3),
    )
    frames = {
        "train.parquet": to_arrow(train),
        "holdout.parquet": to_arrow(holdout),
        "features.parquet": to_arrow(_make_features(pipeline, tables_json, pd.concat([train, holdout]))),
    }
    facts = {"partitions": {ref.partition: ref.version for ref in window.partitions}}
    return store_set(made, frames, tables_json, facts)


def read_partitions(pipeline: Pipeline, window: Window) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The declared columns of all partitions, oldest first, and each row's position in ``window.partitions``.

    Raises TrainingDataInvalid for an empty window.
    """
    if not window.partitions:
        raise TrainingDataInvalid(
            f"The window {window.key} of {pipeline.name} holds no partition.",
            next_step="Land and validate a partition first.",
            pipeline=pipeline.name,
            measure="partitions",
        )
    columns = list(pipeline.data.columns)
    tables = [pq.read_table(ref.path, columns=columns) for ref in window.partitions]
    partition = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    # Permissive: a column may be empty, and so without a type, in one partition and not in another.
    return pa.concat_tables(tables, promote_options="permissive").to_pandas(), partition


def dump_features(pipeline: Pipeline) -> str:
    """The declared features as the JSON that ``RowFeatures`` takes."""
    return msgspec.json.encode(pipeline.features).decode()


def _make_features(pipeline: Pipeline, tables_json: bytes, requests: pd.DataFrame) -> pd.DataFrame:
    return RowFeatures(dump_features(pipeline), tables_json.decode()).transform(requests)


def _name_set(pipeline: Pipeline, window: Window, references: Mapping[str, pd.DataFrame]) -> str:
    declared: dict[str, Any] = {
        "format": FORMAT,
        "window": window.digest,
        "partitions": [[ref.partition, ref.version] for ref in window.partitions],
        "pipeline": pipeline.name,
        "columns": pipeline.data.columns,
        "label": pipeline.label.model_dump(),
        "request": pipeline.request.model_dump(),
        "leakage": pipeline.leakage.model_dump(),
        "features": dump_features(pipeline),
        "references": {name: reference.model_dump() for name, reference in pipeline.references.items()},
        "day_columns": pipeline.training.day_columns,
        "tables": hash_references(references),
        "code": _hash_code(Path(pipeline.folder)),
    }
    # 32 characters: as long as MLflow's digest of a data set may be.
    return hashlib.sha256(msgspec.json.encode(declared)).hexdigest()[:32]


def _hash_code(folder: Path) -> str:
    """SHA-256 over the pipeline's modules, by name; its declaration is hashed by what it says, not as text."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.name != "pipeline.py":
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
