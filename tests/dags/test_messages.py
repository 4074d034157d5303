"""What the mails say and where their links lead."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Blessing, GateReport, RuleFinding
from include.errors import EndpointUnavailable, GateBlocked, TollgateError
from include.settings import Settings, load_settings

PIPELINE = "flight_delays"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home and addresses that no default has, also in what reads the environment by itself."""
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TOLLGATE_AIRFLOW_PUBLIC_URL", "http://airflow.test")
    monkeypatch.setenv("TOLLGATE_MLFLOW_PUBLIC_URL", "http://mlflow.test")
    return load_settings()


@pytest.fixture
def context(dag_bag: Any) -> dict[str, Any]:
    """What a running task knows about itself."""
    instance = SimpleNamespace(
        dag_id=f"{PIPELINE}.train_model", run_id="run-1", task_id="bless_best", map_index=-1, try_number=1
    )
    return {"ti": instance, "dag_run": SimpleNamespace(partition_key="2013-05", run_id="run-1")}


def make_refused() -> Blessing:
    return Blessing(PIPELINE, "2013-05", "trees", "abc", "models:/m-1", "3", False, (), ("Too weak.",), "set", "window")


def test_the_mail_about_a_refused_model_opens_its_run_in_mlflow(
    dag_bag: Any, settings: Settings, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow finds the run's experiment itself; a page below the pipeline's name says that nothing is there."""
    sent: list[Any] = []
    body = inspect.unwrap(dag_bag.dags[f"{PIPELINE}.train_model"].task_dict["bless_best"].python_callable)
    monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
    monkeypatch.setitem(body.__globals__, "post_mail", sent.append)
    monkeypatch.setattr("include.steps.train.bless_best", lambda *_: make_refused())
    monkeypatch.setitem(body.__globals__, "unpack", lambda _, packed: packed)
    body(training_set={}, trained=[], parent_run_id="parent")
    (mail,) = sent
    assert dict(mail.links) == {
        "Run in MLflow": "http://mlflow.test/#/runs/abc",
        "DAG run": f"http://airflow.test/dags/{PIPELINE}.train_model/runs/run-1",
    }


def make_blocked(settings: Settings) -> GateReport:
    """A report whose file is there and whose page was pruned."""
    path = settings.reports_root / PIPELINE / "gates" / "refresh" / "2013-05-x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    finding = RuleFinding("not_null(carrier)", "failed", "critical", "carrier", "", None, 3, 1.5, ("a", "b"))
    pruned = str(settings.reports_root / PIPELINE / "data_docs" / "old.html")
    return GateReport(
        PIPELINE, "refresh", "2013-05", "block", 200, 9, 9, "v", "duckdb", 0.1, (finding,), str(path), pruned
    )


def test_the_mail_about_a_blocked_refresh_names_rule_and_rows_and_links_only_to_what_is_there(
    settings: Settings, context: dict[str, Any]
) -> None:
    from tollgate_gate_messages import describe_failure

    blocked = GateBlocked("blocked.", next_step="look.", report=make_blocked(settings), rules=["not_null"])
    mail = describe_failure({**context, "exception": blocked})
    assert (mail.subject, mail.tone) == (f"[Tollgate] {PIPELINE}: refresh 2013-05 blocked", "bad")
    assert mail.facts == (("not_null(carrier)", "critical, failed: 3 rows (1.50 %); for example a, b"),)
    assert [label for label, _ in mail.links] == ["Gate report", "Log of the task"]
    # When the run has failed Airflow reports the same task once more, without a reason: the outbox knows that mail.
    assert mail.key == describe_failure(context).key


@pytest.mark.parametrize(
    ("error", "line", "step"),
    [
        (EndpointUnavailable("It is down.", next_step="Start it.", url="u"), "It is down.", "Start it."),
        (ValueError("boom"), "ValueError: boom", "clear the task"),
        (None, "The task was killed or timed out.", "clear the task"),
    ],
)
def test_the_mail_about_a_failed_task_says_why_and_what_to_do(
    settings: Settings, context: dict[str, Any], error: Exception | None, line: str, step: str
) -> None:
    from tollgate_gate_messages import describe_failure

    mail = describe_failure({**context, "exception": error})
    assert mail.lines == (line,)
    assert step in mail.next_step
    facts = {"Task": f"{PIPELINE}.train_model · bless_best", "Run": "run-1", "Partition": "2013-05", "Tries": "1"}
    assert dict(mail.facts) == facts | ({"url": "u"} if isinstance(error, TollgateError) else {})
    assert mail.key != describe_failure({**context, "exception": None, "ti": retried(context)}).key


def retried(context: dict[str, Any]) -> Any:
    """The same task, tried once more: its failure is another mail."""
    return SimpleNamespace(**{**vars(context["ti"]), "try_number": 2})
