"""The loop on one pipeline, in the order in which it happens: S0, S1, S11, S2, S3, S4 and the worse model of S7.

Each test continues where the one before it left the system, as months of real life do.
"""

from __future__ import annotations

import getpass
import hashlib
import html
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from config.credentials import ADMIN
from config.status import describe_system
from include.console.history import read_history
from include.links import link_report, link_run
from tests.scenarios.bad_files import BadFile, iterate_bad_files
from tests.scenarios.customer import REQUEST, Customer
from tests.scenarios.invariants import Observer
from tests.scenarios.refreshes import make_month, shuffle_labels, spoil_distances
from tests.scenarios.system import RunningSystem

PIPELINE = "flights"


def served_everywhere(system: RunningSystem) -> str | None:
    """The version that the registry, the endpoint and its answers agree on (invariant 3)."""
    champion = system.registry_champion(PIPELINE)
    live = system.endpoint_version(PIPELINE)
    assert (champion.version if champion else None) == live
    if live is not None:
        answer = system.predict(PIPELINE, [REQUEST])
        assert answer["model_version"] == live
        assert all(0 <= probability <= 1 for probability in answer["predictions"])
    return live


def test_s0_the_first_refresh_becomes_the_first_champion(system: RunningSystem) -> None:
    assert system.endpoint_version(PIPELINE) is None
    system.land(PIPELINE, "2013-01", make_month(1))
    deployed = system.wait_for_record(PIPELINE, "deployment", seconds=240)
    system.wait_until_idle()
    assert served_everywhere(system) == "1"
    assert deployed["partition"] == "2013-01"
    blessing = system.list_records(PIPELINE, "blessing")[-1]
    assert blessing["blessed"]
    assert blessing["champion_version"] is None
    assert "last third" in blessing["holdout"]
    assert all(
        Path(record["report_path"]).is_file() for record in (blessing, *system.list_records(PIPELINE, "refresh"))
    )
    for stage in ("data_refresh", "train_model", "deploy_model"):
        run = system.wait_for_run(f"{PIPELINE}.{stage}")
        assert run["state"] == "success", system.task_states(run)
    assert "version 1" in system.wait_for_mail(f"{PIPELINE}: version 1 is live")["text"].lower()


def test_s0_every_step_links_to_the_next_and_back(system: RunningSystem) -> None:
    """From the file to what answers, and back, by what each step wrote down: nothing is looked up elsewhere."""
    file = system.settings.landing_root / PIPELINE / "2013-01.parquet"
    fingerprint = hashlib.sha256(file.read_bytes()).hexdigest()
    (refreshed,) = [r for r in system.list_records(PIPELINE, "refresh") if r["source"] == str(file)]
    assert refreshed["fingerprint"] == fingerprint
    docs = link_report(system.settings, refreshed["docs_path"])
    assert docs, "the record of the file leads to its data docs"
    refresh_dag = f"{PIPELINE}.data_refresh"
    assert refreshed["run_url"].startswith(link_run(system.settings, refresh_dag, refreshed["run_id"]))
    assert system.api.get_run(refresh_dag, refreshed["run_id"])["state"] == "success"

    (event,) = system.api.list_asset_events(f"{PIPELINE}/validated")
    assert event["source_run_id"] == refreshed["run_id"]
    assert event["extra"]["data_docs"] == docs
    assert event["extra"]["partition"]["version"] == refreshed["version"]
    (training,) = system.runs(f"{PIPELINE}.train_model")
    assert training["partition_key"] == event["partition_key"] == "2013-01"
    url = link_run(system.settings, training["dag_id"], training["dag_run_id"])

    seen = Observer(system, PIPELINE, ())
    hashed = f"{refreshed['version']} sha256={fingerprint}"
    (parent,) = [run for run in seen.runs.values() if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.tags["airflow.url"].startswith(url)
    assert parent.data.tags["tollgate.partition.2013-01"] == hashed
    assert parent.data.tags["tollgate.gate.2013-01"] == f"{refreshed['verdict']} {docs}"
    assert parent.data.tags["tollgate.features_gate"].startswith("pass http")
    note = parent.data.tags["mlflow.note.content"]
    assert f"]({docs})" in note
    assert f"[Task in Airflow]({url}/tasks/bless_best)" in note

    (event,) = system.api.list_asset_events(f"{PIPELINE}/candidate")
    (version,) = seen.versions.values()
    assert event["source_run_id"] == training["dag_run_id"]
    assert event["extra"]["version"]["version"] == version.version == "1"
    (deployed,) = system.list_records(PIPELINE, "deployment")
    (deployment,) = system.runs(f"{PIPELINE}.deploy_model")
    assert deployed["by"] == f"{deployment['dag_id']}/{deployment['dag_run_id']}"

    live = httpx.get(f"{system.endpoint_url(PIPELINE)}/version", trust_env=False).json()
    assert live["version"] == deployed["version"] == "1"
    candidate = seen.runs[seen.versions[live["version"]].run_id]
    assert candidate.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert candidate.data.tags["tollgate.partition.2013-01"] == hashed, "the version's own run names its data"


def test_s1_a_good_refresh_replaces_the_champion_without_a_failed_request(system: RunningSystem) -> None:
    with Customer(system.endpoint_url(PIPELINE), callers=8) as customer:
        system.land(PIPELINE, "2013-02", make_month(2))
        renamed = datetime.now(UTC)
        system.wait_for_record(PIPELINE, "blessing", lambda record: record["partition"] == "2013-02", seconds=240)
        system.wait_until_idle()
    refreshed = next(r for r in system.list_records(PIPELINE, "refresh") if r["partition"] == "2013-02")
    run = system.api.get_run(f"{PIPELINE}.data_refresh", refreshed["run_id"])
    assert (datetime.fromisoformat(run["queued_at"]) - renamed).total_seconds() < 10, "it starts by itself, and soon"
    blessing = system.list_records(PIPELINE, "blessing")[-1]
    assert blessing["champion_version"] == "1"
    assert blessing["holdout"] == "2013-02"
    change = next(check for check in blessing["checks"] if check["kind"] == "change")
    assert change["status"] == "pass"
    assert change["low"] > -0.005
    assert served_everywhere(system) == "2"
    assert len(customer.answers) > 1000
    assert [answer for answer in customer.answers if answer.status != 200] == []


def check_rollback(system: RunningSystem, left: str, version: str, who: str, why: str) -> None:
    """Registry, endpoint, page, status and mail are of one mind about it, and say who and why."""
    assert served_everywhere(system) == version
    tags = system.version_tags(PIPELINE, left)
    assert (tags["tollgate.rolled_back_by"], tags["tollgate.rolled_back_because"]) == (who, why)
    assert tags["tollgate.rolled_back_to"] == version
    told = f"{who} rolled back from version {left}: {why}"
    page = system.read_overview()["pipelines"]
    (endpoint,) = [pipeline["endpoint"] for pipeline in page if pipeline["name"] == PIPELINE]
    assert (endpoint["served_version"], endpoint["reason"]) == (version, told)
    assert told in describe_system(system.site)
    mail = system.wait_for_mail(f"{PIPELINE}: {who} rolled back from version {left} to {version}")
    assert why in mail["text"]
    assert "What to do next" in mail["text"]


def test_s11_the_version_before_is_back_within_seconds_by_command_and_by_trigger(system: RunningSystem) -> None:
    """By the command, then, once version 2 was asked for by its number, by Airflow; no customer notices either."""
    why = 'it is "too gloomy", they say'
    with Customer(system.endpoint_url(PIPELINE)) as customer:
        began = time.monotonic()
        told = system.run_command("rollback", PIPELINE, "--reason", why)
        first = next(answer.ended for answer in customer.answers if answer.began > began and answer.version == "1")
        assert "Customers of flights get version 1" in told
        check_rollback(system, "2", "1", getpass.getuser(), why)

        # A run that names no version does not bring it back; one that names it does.
        for conf, outcome, live in (({}, "skipped", "1"), ({"version": "2"}, "success", "2")):
            run_id = system.api.trigger(f"{PIPELINE}.deploy_model", conf)
            run = system.api.wait_run(f"{PIPELINE}.deploy_model", run_id, 240)
            assert system.task_states(run)["choose_version"] == outcome
            assert served_everywhere(system) == live

        triggered = time.monotonic()
        run_id = system.api.trigger(f"{PIPELINE}.rollback", {"reason": "still too gloomy"})
        run = system.api.wait_run(f"{PIPELINE}.rollback", run_id, 240)
        assert run["state"] == "success", system.task_log(run, "roll_back")
        second = next(answer.ended for answer in customer.answers if answer.began > triggered and answer.version == "1")
        check_rollback(system, "2", "1", ADMIN, "still too gloomy")
    print(f"  served again after {first - began:.1f} s by command, {second - triggered:.1f} s by trigger")
    assert first - began < 60
    assert second - triggered < 120
    assert [answer for answer in customer.answers if answer.status != 200] == []
    records = system.list_records(PIPELINE, "deployment")
    assert [record["version"] for record in records] == ["1", "2", "1", "2", "1"]
    # The tests that follow go on from version 2.
    run_id = system.api.trigger(f"{PIPELINE}.deploy_model", {"version": "2"})
    system.api.wait_run(f"{PIPELINE}.deploy_model", run_id, 240)
    assert served_everywhere(system) == "2"


def count_failures(system: RunningSystem, runs: list[dict[str, Any]]) -> Counter[str]:
    """Task to how often it failed in ``runs``; a mapped task counts once for each file."""
    states = [item for run in runs for item in system.task_states(run).items()]
    return Counter(task.partition("[")[0] for task, state in states if state == "failed")


def test_s2_no_bad_file_is_trained_on_and_each_is_explained(system: RunningSystem) -> None:
    dag = f"{PIPELINE}.data_refresh"
    trained, before = len(system.runs(f"{PIPELINE}.train_model")), {run["dag_run_id"] for run in system.runs(dag)}
    bad = list(iterate_bad_files())
    for file in bad:
        system.land(PIPELINE, file.partition, file.content, file.mode, file.extension)
    system.land(PIPELINE, "2013-03", b"PK\x03\x04 a spreadsheet", extension="xlsx")
    half_written = system.settings.landing_root / PIPELINE / "2013-03.parquet.part"
    half_written.write_bytes(b"PAR1 half of a file")
    for file in bad:
        check_refusal(system, file)
    refused = system.wait_for_record(PIPELINE, "sighting", lambda record: record["status"] == "refused")
    assert refused["name"] == "2013-03.xlsx"
    assert ".xlsx" in system.wait_for_mail(f"{PIPELINE}: refresh_partition.take_in_arrival failed")["text"]
    system.wait_until_idle()
    runs = [run for run in system.runs(dag) if run["dag_run_id"] not in before]
    stopped = {"refresh_partition.gate_refresh": len(bad), "refresh_partition.take_in_arrival": 1}
    assert count_failures(system, runs) == stopped, "each file stops at its gate, and nothing fails after it"
    judged = {record["partition"] for record in system.list_records(PIPELINE, "refresh")}
    assert "2013-03" not in judged, "a file that is still being written waits"
    half_written.unlink()
    assert len(system.runs(f"{PIPELINE}.train_model")) == trained
    assert served_everywhere(system) == "2"


def check_refusal(system: RunningSystem, file: BadFile) -> None:
    """Verdict, report, data docs and mail all say what is wrong with a bad file."""
    verdict = system.wait_for_record(
        PIPELINE, "refresh", lambda record: Path(record["source"]).name == file.name, seconds=240
    )
    assert verdict["status"] == "blocked", (file.what, verdict)
    report = json.loads(Path(verdict["report_path"]).read_bytes())
    found = [finding for finding in report["findings"] if finding["rule"] == file.rule]
    assert [finding["unexpected_count"] for finding in found] == [file.rows], (file.what, report)
    assert file.shown in json.dumps(found), (file.what, found)
    page = html.unescape(Path(verdict["docs_path"]).read_text())
    # Great Expectations judges only what has the declared columns and rows, and words its rules itself.
    for said in (file.rule, file.shown.strip('"')) if file.rows is None else (str(file.rows),):
        assert said in page, (file.what, said)

    def find_mail() -> dict[str, Any] | None:
        mails = system.mails(f"{PIPELINE}: refresh {file.partition} blocked")
        return next(
            (mail for mail in mails if file.rule in mail["text"] and file.shown.strip('"') in mail["text"]), None
        )

    mail = system.wait_for(find_mail, 60, f"a mail about the file with {file.what}")
    assert mail["to"] == ["ml-owner@example.com"]
    assert "What to do next" in mail["text"]
    assert file.rows is None or f"{file.rows} rows" in mail["text"], file.what


def test_s3_few_bad_rows_are_set_aside_and_the_rest_is_published(system: RunningSystem) -> None:
    frame, spoilt = spoil_distances(make_month(3), 0.005)
    system.land(PIPELINE, "2013-03", frame)
    verdict = system.wait_for_record(PIPELINE, "refresh", lambda record: record["partition"] == "2013-03", seconds=240)
    assert verdict["status"] == "published", verdict
    assert verdict["verdict"] == "warn"
    assert verdict["quarantined"] == spoilt
    assert verdict["rows"] + verdict["quarantined"] == len(frame)
    assert str(spoilt) in system.wait_for_mail("refresh 2013-03 published with warnings")["text"]
    system.wait_for_record(PIPELINE, "blessing", lambda record: record["partition"] == "2013-03", seconds=240)
    system.wait_until_idle()
    assert served_everywhere(system) is not None


def test_s4_a_corrected_refresh_is_a_new_version_and_the_same_content_is_nothing_new(system: RunningSystem) -> None:
    landed = system.land(PIPELINE, "2013-03", make_month(3))
    corrected = system.wait_for_record(
        PIPELINE, "refresh", lambda record: record["partition"] == "2013-03" and record["quarantined"] == 0, seconds=240
    )
    system.wait_until_idle()
    versions = {record["version"] for record in system.list_records(PIPELINE, "refresh") if record.get("version")}
    claims = system.list_records(PIPELINE, "training")
    assert claims[-1]["partitions"]["2013-03"] == corrected["version"]
    assert claims[-2]["partitions"]["2013-03"] != corrected["version"]
    assert {claim["partitions"].get("2013-03") for claim in claims[-2:]} <= versions
    trained = len(system.runs(f"{PIPELINE}.train_model"))
    refreshed = len(system.runs(f"{PIPELINE}.data_refresh"))
    system.land(PIPELINE, "2013-03", landed.read_bytes(), mode="done")
    system.wait_for(
        lambda: len(system.runs(f"{PIPELINE}.data_refresh")) > refreshed or None, 60, "the same content to be noticed"
    )
    system.wait_until_idle()
    assert len(system.runs(f"{PIPELINE}.train_model")) == trained
    assert served_everywhere(system) is not None


def test_s4_going_back_to_the_content_before_trains_on_it_again(system: RunningSystem) -> None:
    """With nothing else published in between: customers must not keep a model of the month that was withdrawn."""
    before, corrected = system.list_records(PIPELINE, "training")[-2:]
    system.land(PIPELINE, "2013-03", spoil_distances(make_month(3), 0.005)[0])
    system.wait_for(
        lambda: system.list_records(PIPELINE, "training")[-1] != corrected or None, 240, "a training of it once more"
    )
    system.wait_until_idle()
    again = system.list_records(PIPELINE, "training")[-1]
    assert again["partitions"] == before["partitions"] != corrected["partitions"]
    row = read_history(system.settings, PIPELINE)[-1]
    assert (row.partition, row.training) == ("2013-03", again["claimed_by"])
    assert row.outcome not in ("published", "training", "stopped")
    assert served_everywhere(system) is not None


def test_s7_a_model_trained_on_spoilt_labels_is_worse_than_the_champion_and_is_refused(system: RunningSystem) -> None:
    before = served_everywhere(system)
    for month in (1, 2):
        system.land(PIPELINE, f"2013-{month:02d}", shuffle_labels(make_month(month)))
    blessed = len(system.list_records(PIPELINE, "blessing"))
    system.wait_for(
        lambda: len(system.list_records(PIPELINE, "blessing")) > blessed or None, 240, "the spoilt model's blessing"
    )
    system.wait_until_idle()
    blessing: dict[str, Any] = system.list_records(PIPELINE, "blessing")[-1]
    assert not blessing["blessed"]
    change = next(check for check in blessing["checks"] if check["kind"] == "change")
    assert change["status"] == "fail"
    assert any("champion" in reason for reason in blessing["reasons"])
    run = system.wait_for_run(f"{PIPELINE}.train_model", lambda run: run["state"] == "success")
    assert system.task_states(run)["register_model"] == "skipped"
    assert served_everywhere(system) == before
    assert "not blessed" in system.wait_for_mail(f"{PIPELINE}: model of")["subject"]
