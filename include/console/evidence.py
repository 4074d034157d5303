"""Where the evidence of a task lies, found in the ledger: the pages that a person wants when looking at the task."""

from __future__ import annotations

from include.links import link_mlflow_run, link_report
from include.records import list_records
from include.settings import Settings


def find_data_docs(settings: Settings, pipeline: str, run_id: str, map_index: int) -> str:
    """Page of the validation result of the refresh that this part of a data_refresh run judged; "" when none did."""
    for _, verdict in list_records(settings, pipeline, "refresh"):
        for judged in (verdict, *verdict.get("earlier", ())):
            if judged.get("run_id") == run_id and str(judged.get("run_url", "")).endswith(f"/mapped/{map_index}"):
                return link_report(settings, str(judged.get("docs_path", "")))
    return ""


def find_features_docs(settings: Settings, pipeline: str, run_id: str) -> str:
    """Page of the validation result of the features that this train_model run judged last; "" when it judged none."""
    judged = [record for _, record in list_records(settings, pipeline, "features") if record["run_id"] == run_id]
    return link_report(settings, str(judged[-1]["docs_path"])) if judged else ""


def find_blessed_run(settings: Settings, pipeline: str, run_id: str) -> str:
    """MLflow's page of the candidate that this train_model run judged; "" before there is a verdict."""
    for candidate_run_id, blessing in list_records(settings, pipeline, "blessing"):
        if blessing["run_id"] == run_id:
            return link_mlflow_run(settings, candidate_run_id)
    return ""
