"""The plan: what declarations say, and what stays in force when one of them cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from include.declaration import Deployment, LatencyGate, LatencyWatch, LocalTarget, Notifier, Sla
from include.records import write_file_atomically
from include.settings import Settings
from include.sla.plan import Plan, PlannedLimit, list_sources, make_plan, name_plan, plan_pipeline, read_plan
from tests.unit.declaration.test_loader import declare, forget_imported_pipelines
from tests.unit.deployment.hosted import declare_pipeline
from tests.unit.factory import make_pipeline

__all__ = ["forget_imported_pipelines"]


def test_every_declared_limit_is_in_the_plan(settings: Settings) -> None:
    sla = Sla(
        train_model=("2 × usual", "1h"),
        tasks={"train_model.fit_candidate": "20m", "train_model.*": "5m"},
        refresh_to_served="3h",
        usual_margin="5s",
        latency=LatencyWatch(every="30s", requests=50),
        notifiers=(Notifier(name="some.module:Teller", arguments={"to": "me"}),),
    )
    gate = LatencyGate(p99_ms=20.0)
    pipeline = make_pipeline(sla=sla, deployment=Deployment(target=LocalTarget(port_offset=7), latency=gate))
    planned = plan_pipeline(settings, pipeline, 0.0)
    assert planned.limits["train_model"] == (
        PlannedLimit("2 × usual", factor=2.0),
        PlannedLimit("1h", seconds=3600.0),
    )
    assert [limit.text for limit in planned.list_limits("train_model", "fit_candidate")] == ["20m"]
    assert [limit.text for limit in planned.list_limits("train_model", "bless_best")] == ["5m"]
    assert planned.list_limits("deploy_model", "try_in_sandbox") == ()
    assert planned.limits.keys() == {"train_model", "train_model.fit_candidate", "train_model.*", "refresh_to_served"}
    assert (planned.usual_margin, planned.freshness, planned.due) == (5.0, "", ())
    assert planned.stops_after["fit_candidate"] == pipeline.training.max_minutes * 60
    assert planned.stops_after["gate_features"] == 900.0
    assert planned.latency is not None
    assert planned.latency.address == f"http://127.0.0.1:{settings.endpoint_port + 7}/metrics"
    assert (planned.latency.objectives, planned.latency.every) == ({"0.99": 20.0}, 30.0)
    assert planned.notifiers[0].arguments == {"to": "me"}


def test_without_an_objective_no_endpoint_is_asked(settings: Settings) -> None:
    assert plan_pipeline(settings, make_pipeline(), 0.0).latency is None


def test_no_endpoint_of_this_machine_is_asked_where_a_service_serves(settings: Settings) -> None:
    hosted = declare_pipeline()
    deployment = hosted.deployment.model_copy(update={"latency": LatencyGate(p99_ms=20.0)})
    assert plan_pipeline(settings, hosted.model_copy(update={"deployment": deployment}), 0.0).latency is None


@pytest.fixture
def written(settings: Settings) -> Iterator[Settings]:
    declare(settings, "good", 0)
    declare(settings, "other", 1)
    write_file_atomically(name_plan(settings), msgspec.json.encode(make_plan(settings, 1.0)))
    yield settings


def test_a_declaration_that_breaks_is_watched_as_before_and_the_others_go_on(written: Settings) -> None:
    assert read_plan(written).pipelines.keys() == {"good", "other"}
    import sys

    for name in [name for name in sys.modules if name.startswith("tollgate_pipelines")]:
        del sys.modules[name]
    (written.pipelines_path / "good" / "pipeline.py").write_text("raise SystemExit(3)\n")
    plan = make_plan(written, 2.0)
    assert plan.pipelines.keys() == {"good", "other"}
    assert "SystemExit" in plan.errors["good"]
    assert plan.made_at == 2.0


def test_an_edit_is_noticed_by_the_files(written: Settings) -> None:
    before = list_sources(written)
    assert before == list_sources(written)
    path = written.pipelines_path / "good" / "pipeline.py"
    path.write_text(path.read_text() + "# edited\n")
    assert list_sources(written) != before


def test_a_plan_of_another_version_is_no_plan(settings: Settings) -> None:
    assert read_plan(settings) == Plan()
    write_file_atomically(name_plan(settings), b'{"pipelines": {"a": 3}}')
    assert read_plan(settings) == Plan()
