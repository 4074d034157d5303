"""Buttons on a task's page in Airflow that lead to what the task found: its data docs, its model's run in MLflow."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink


class DataDocsLink(BaseOperatorLink):
    """The validation result of the refresh that the task worked on, or of the features that it judged."""

    name = "Data docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address, or "" for a task that has none."""
        from include.console.evidence import find_data_docs, find_features_docs
        from include.settings import load_settings

        pipeline, _, stage = ti_key.dag_id.rpartition(".")
        if stage == "data_refresh":
            return find_data_docs(load_settings(), pipeline, ti_key.run_id, ti_key.map_index)
        if (stage, ti_key.task_id) == ("train_model", "gate_features"):
            return find_features_docs(load_settings(), pipeline, ti_key.run_id)
        return ""


class BlessedRunLink(BaseOperatorLink):
    """The run in MLflow of the candidate that the training chose, with its blessing."""

    name = "Model in MLflow"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address, or "" for a task that has none."""
        from include.console.evidence import find_blessed_run
        from include.settings import load_settings

        pipeline, _, stage = ti_key.dag_id.rpartition(".")
        return find_blessed_run(load_settings(), pipeline, ti_key.run_id) if stage == "train_model" else ""


class TollgateEvidencePlugin(AirflowPlugin):
    """Puts the buttons on every task; one without an address is not shown."""

    name = "tollgate_evidence"
    global_operator_extra_links = [DataDocsLink(), BlessedRunLink()]
