"""Registry, pointer and endpoint are made one again, whichever of them was left behind, and it is said once."""

from __future__ import annotations

import dataclasses

import pytest

from include.console.order import find_disagreement, list_mendings
from include.deployment.local import deploy
from include.errors import TrackingUnavailable
from include.pointer import Withdrawal, locate_pointer, withdraw_pointer, write_pointer
from include.records import utc_now
from include.steps.reconcile import reconcile_endpoints
from include.tracking.client import open_client
from tests.unit.served_models import serve, wait_for
from tests.unit.steps.live import Live

NOTHING = "There was nothing to do."


def reconcile(live: Live, alive: bool = False) -> str:
    return reconcile_endpoints(live.settings, lambda _: alive)


def test_nothing_deployed_and_all_of_one_mind_are_left_alone(live: Live) -> None:
    assert reconcile(live) == NOTHING
    live.deploy("1")
    assert reconcile(live) == NOTHING
    assert live.list_mails() == []
    assert live.list_records("mending") == []


def test_the_alias_follows_a_deployment_that_died_before_it_named_its_champion(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.deploy("1")
    for record in (True, False):
        monkeypatch.setattr("include.steps.deploy.name_champion", lambda *_: None)
        if not record:
            monkeypatch.setattr(deploy, "write_record", lambda *_: None)
        live.deploy("3" if record else "2")
        monkeypatch.undo()
        before = live.find_versions()
        assert before[0] != before[1]
        assert reconcile(live, alive=True) == NOTHING, "its run still works"
        assert live.find_versions() == before
        assert "which customers get" in reconcile(live)
        assert live.find_versions() == (before[0],) * 3
        assert reconcile(live) == NOTHING
    assert live.list_deployments() == ["1", "3", "2"]
    assert len(list_mendings(live.settings, "rolled")) == len(live.list_mails()) == 2


def test_a_version_whose_answers_were_never_compared_and_differ_is_taken_back(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.deploy("1")
    wrong = live.settings.work_root / "rolled" / "predictions" / "1" / "predictions.parquet"
    monkeypatch.setattr("include.steps.deploy.name_champion", lambda *_: None)
    live.deploy("2")
    monkeypatch.setattr("include.steps.reconcile.fetch_predictions", lambda *_: str(wrong))
    assert "Version 1 is served again" in reconcile(live)
    assert live.find_versions() == ("1", "1", "1")


def test_what_nobody_blessed_gives_way_to_the_champion(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.deploy("1")
    monkeypatch.setattr("include.steps.deploy.name_champion", lambda *_: None)
    live.deploy("2")
    with open_client(live.settings) as client:
        client.set_model_version_tag("rolled", "2", "tollgate.blessing", "refused")
    assert "nobody blessed" in reconcile(live)
    assert live.find_versions() == ("1", "1", "1")
    assert live.read_pointer().previous is None, "no rollback leads to it"
    assert reconcile(live) == NOTHING
    # Without a champion there is nothing to go to: what is served stays, and it is said once.
    with open_client(live.settings) as client:
        client.set_model_version_tag("rolled", "1", "tollgate.blessing", "refused")
    live.point_champion_at(None)
    for _ in range(3):
        assert "champion is no version" in reconcile(live)
    assert find_disagreement(live.settings, "rolled") is not None
    assert len([mail for mail in live.list_mails() if "do not agree" in mail]) == 1
    with open_client(live.settings) as client:
        client.set_model_version_tag("rolled", "1", "tollgate.blessing", "blessed")
    assert "champion was none; it is version 1" in reconcile(live)
    assert find_disagreement(live.settings, "rolled") is None


@pytest.mark.parametrize("content", [None, b"", b'{"version": "2", "mod'])
def test_a_pointer_that_lost_its_content_is_written_anew_without_mlflow(live: Live, content: bytes | None) -> None:
    live.deploy("1")
    live.deploy("2")
    good = live.read_pointer()
    path = locate_pointer(live.folder)
    path.with_name(".pointer.json.x1.part").write_bytes(b"{")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    live.server.stop()
    home, port = live.settings.home, live.settings.endpoint_port
    with serve(home / "run", "--pipeline", "rolled", home=home, port=port) as back:
        live.server = back
        wait_for(lambda: back.ask("GET", "/version")[1]["state"] in ("broken", "no model deployed yet"))
        with pytest.raises(TrackingUnavailable):
            reconcile_endpoints(dataclasses.replace(live.settings, mlflow_uri="http://127.0.0.1:9"), lambda _: False)
        live.wait_served("2")
        assert live.read_pointer() == good
        assert list(live.folder.glob(".*.part")) == []
        assert reconcile(live) == NOTHING


def test_a_serving_folder_that_was_lost_is_filled_from_the_registry(live: Live) -> None:
    import shutil

    live.deploy("1")
    live.deploy("2")
    shutil.rmtree(live.folder)
    shutil.rmtree(live.settings.records_root)
    assert "serves version 2 from the registry" in reconcile(live)
    assert live.find_versions() == ("2", "2", "2")
    assert reconcile(live) == NOTHING


def test_a_model_that_the_disk_damaged_is_downloaded_again(live: Live) -> None:
    live.deploy("1")
    live.server.stop()
    pointer = live.read_pointer()
    (live.folder / pointer.model_dir / "MLmodel").write_bytes(b"")
    home, port = live.settings.home, live.settings.endpoint_port
    with serve(home / "run", "--pipeline", "rolled", home=home, port=port) as back:
        live.server = back
        wait_for(lambda: back.ask("GET", "/version")[1]["state"] == "broken")
        assert "downloaded again" in reconcile(live)
        live.wait_served("1")
    assert live.read_pointer() == pointer


def test_an_order_to_serve_nothing_is_respected_and_completed(live: Live) -> None:
    live.deploy("1")
    pointer = live.read_pointer()
    withdraw_pointer(live.folder, Withdrawal("1", utc_now(), "its answers differ"))
    order = live.folder / "withdrawn.json"
    content = order.read_bytes()
    write_pointer(live.folder, pointer)
    order.write_bytes(content)  # as a kill between the order and the pointer's end leaves it
    assert "was withdrawn" in reconcile(live)
    wait_for(lambda: live.server.ask("GET", "/version")[1]["state"] == "withdrawn")
    assert reconcile(live) == NOTHING


def test_an_endpoint_that_is_down_is_news_only_when_it_stays_down(live: Live) -> None:
    live.deploy("1")
    live.server.stop()
    assert "does not serve version 1" in reconcile(live)
    assert live.list_mails() == []
    for _ in range(2):
        reconcile(live)
    assert len(live.list_mails()) == 1
