"""What the mails say and where their links lead."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Blessing, GateReport, RuleFinding
from include.errors import EndpointUnavailable, GateBlocked, SuiteInvalid, TollgateError
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


FAILED = RuleFinding("not_null(carrier)", "failed", "critical", "carrier", "", None, 3, 1.5, ("a", "b"))
TOLERATED = RuleFinding("between(distance)", "passed", "critical", "distance", "", None, 1, 0.5)


def make_report(settings: Settings, gate: Any, verdict: Any, *findings: RuleFinding) -> GateReport:
    """A report whose file is there and whose page was pruned."""
    path = settings.reports_root / PIPELINE / "gates" / gate / "2013-05-x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    pruned = str(settings.reports_root / PIPELINE / "data_docs" / "old.html")
    return GateReport(PIPELINE, gate, "2013-05", verdict, 200, 9, 9, "v", "duckdb", 0.1, findings, str(path), pruned)


def test_the_mail_about_a_blocked_refresh_names_rule_and_rows_and_links_only_to_what_is_there(
    settings: Settings, context: dict[str, Any]
) -> None:
    from tollgate_gate_messages import describe_failure

    share = RuleFinding("quarantine(max_share)", "failed", "critical", None, "Too many.", None, 3, 1.5)
    report = make_report(settings, "refresh", "block", FAILED, TOLERATED, share)
    mail = describe_failure({**context, "exception": GateBlocked("blocked.", next_step="look.", report=report)})
    assert (mail.subject, mail.tone) == (f"[Tollgate] {PIPELINE}: refresh 2013-05 blocked", "bad")
    assert mail.facts == (
        ("not_null(carrier)", "critical, failed: 3 rows (1.50 %); for example a, b"),
        ("quarantine(max_share)", "critical, failed: 3 rows (1.50 %); Too many."),
    )
    assert mail.lines[0].startswith("2 checks did not pass on 200 rows; 9 of 9 rules were evaluated. Nothing was")
    assert "land the partition again" in mail.next_step
    assert [label for label, _ in mail.links] == ["Gate report", "Log of the task"]
    # When the run has failed Airflow reports the same task once more, without a reason: the outbox knows that mail.
    assert mail.key == describe_failure(context).key


def test_the_mail_about_a_suite_that_cannot_be_evaluated_does_not_blame_the_data(
    settings: Settings, context: dict[str, Any]
) -> None:
    from tollgate_gate_messages import describe_failure

    broken = RuleFinding("suite", "errored", "critical", None, "it is not JSON")
    report = make_report(settings, "refresh", "block", broken)
    error = SuiteInvalid("The suite is no JSON.", next_step="Correct the suite.", suite="s", report=report)
    mail = describe_failure({**context, "exception": error})
    assert mail.next_step == "Correct the suite."
    assert mail.lines == ("The suite is no JSON. Nothing was trained on it and what is being served is untouched.",)
    assert mail.facts == (("suite", "critical, errored; it is not JSON"),)


@pytest.mark.parametrize("verdict", ["pass", "warn"])
def test_a_warning_about_features_is_mailed_and_the_training_goes_on(
    dag_bag: Any, settings: Settings, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    sent: list[Any] = []
    mild = RuleFinding("mean(distance)", "failed", "warning", "distance", "", "7")
    report = make_report(settings, "features", verdict, *([mild] if verdict == "warn" else []), TOLERATED)
    body = inspect.unwrap(dag_bag.dags[f"{PIPELINE}.train_model"].task_dict["gate_features"].python_callable)
    monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
    monkeypatch.setitem(body.__globals__, "post_mail", sent.append)
    monkeypatch.setattr("include.steps.train.gate_features", lambda *_: report)
    monkeypatch.setitem(body.__globals__, "unpack", lambda _, packed: packed)
    assert body(training_set={}, parent_run_id="parent")["verdict"] == verdict
    if verdict == "pass":
        assert sent == []
        return
    (mail,) = sent
    assert (mail.subject, mail.tone) == (f"[Tollgate] {PIPELINE}: features 2013-05 passed with warnings", "warn")
    assert mail.facts == (("mean(distance)", "warning, failed; observed 7"),)
    assert mail.lines[0].startswith("1 check did not pass on 200 rows.")


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
