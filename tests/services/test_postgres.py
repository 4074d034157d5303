"""S0 on PostgreSQL, which leaves no SQLite, and on Airflow's own LocalExecutor, which ``make run`` does not start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from tests.scenarios.customer import REQUEST
from tests.scenarios.lenient import PIPELINE, PIPELINES, land, take_rows
from tests.scenarios.system import RunningSystem
from tests.services.conftest import require_server
from tests.services.servers import connect, find_server

MONTH = "2013-01"
# A minute and a half on two idle cores; a busy machine takes several times as long.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def own_system(databases: dict[str, URL], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    addresses = {
        f"TOLLGATE_{owner.upper()}_DB": address.render_as_string(hide_password=False)
        for owner, address in databases.items()
    }
    settings = {"TOLLGATE_EXECUTOR": "stock", **addresses}
    running = RunningSystem(tmp_path_factory.mktemp("postgres") / "home", pipelines=PIPELINES, **settings)
    try:
        yield running.start()
    finally:
        running.stop()


def count(database: URL, table: str, where: str) -> int:
    """Rows of one table that fulfil a condition, as PostgreSQL itself says."""
    connection = connect(database)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {where}")
        (number,) = cursor.fetchone()
    connection.close()
    return int(number)


@pytest.mark.slow
def test_the_first_refresh_becomes_a_served_model_on_postgresql(
    own_system: RunningSystem, databases: dict[str, URL]
) -> None:
    system = own_system
    land(system, MONTH, take_rows(1))
    deployed = system.wait_for_record(PIPELINE, "deployment", seconds=900)
    system.wait_until_idle()
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert (champion.version, deployed["partition"]) == ("1", MONTH)
    assert system.endpoint_version(PIPELINE) == "1"
    assert 0 <= system.predict(PIPELINE, [REQUEST])["predictions"][0] <= 1
    assert "version 1" in system.wait_for_mail(f"{PIPELINE}: version 1 is live")["text"].lower()
    for stage in ("data_refresh", "train_model", "deploy_model"):
        assert count(databases["airflow"], "dag_run", f"dag_id = '{PIPELINE}.{stage}' AND state = 'success'") == 1
    assert count(databases["mlflow"], "model_versions", f"name = '{PIPELINE}'") == 1
    assert [path.name for path in system.home.rglob("*.db")] == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_server_fails_in_ci_and_is_named_either_way(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TOLLGATE_TEST_POSTGRES", "postgresql+psycopg2://nobody:hidden@127.0.0.1:1/none")
    with pytest.raises(outcome, match=r"127\.0\.0\.1:1/none") as caught, require_server():
        connect(find_server())
    assert "hidden" not in str(caught.value)
