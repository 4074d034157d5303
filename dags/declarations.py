"""Builds no DAG: shows every broken declaration as an import error in Airflow's UI, beside the pipelines that run."""

from __future__ import annotations

from include.declaration.loader import load_pipelines
from include.settings import load_settings

_errors = load_pipelines(load_settings()).errors
if _errors:
    raise (
        next(iter(_errors.values()))
        if len(_errors) == 1
        else ExceptionGroup(f"{len(_errors)} broken declarations", list(_errors.values()))
    )
