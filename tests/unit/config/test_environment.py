"""What every program is started with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.airflow_env import build_environment, build_smtp_connection
from config.credentials import load_credentials
from config.environment import Site, load_site, read_dotenv
from include.errors import SettingsError


def make_site(home: Path, **settings: str) -> Site:
    return load_site({"TOLLGATE_HOME": str(home), "PATH": "/usr/bin", **settings})


def build(home: Path, **settings: str) -> dict[str, str]:
    return build_environment(make_site(home, **settings), load_credentials(home))


def test_everything_is_bound_to_loopback(tmp_path: Path) -> None:
    env = build(tmp_path)
    hosts = {name: value for name, value in env.items() if name.endswith("_HOST")}
    assert hosts
    assert set(hosts.values()) == {"127.0.0.1"}


def test_settings_of_another_airflow_do_not_leak_in(tmp_path: Path) -> None:
    env = build(tmp_path, AIRFLOW_HOME="/elsewhere", AIRFLOW__CORE__LOAD_EXAMPLES="True", PYTHONPATH="/elsewhere")
    assert env["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert env["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert "/elsewhere" not in env["PYTHONPATH"]


def test_the_database_and_the_executor_can_be_chosen(tmp_path: Path) -> None:
    plain = build(tmp_path)
    chosen = build(tmp_path, TOLLGATE_AIRFLOW_DB="postgresql+psycopg2://u@h/d", TOLLGATE_EXECUTOR="stock")
    assert plain["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow/airflow.db"
    assert chosen["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://u@h/d"
    connect_args = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS"
    assert (connect_args in plain, connect_args in chosen) == (True, False)
    assert plain["AIRFLOW__CORE__EXECUTOR"] == "config.warm_executor.WarmLocalExecutor"
    assert chosen["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'hot'"):
        build(tmp_path, TOLLGATE_EXECUTOR="hot")


def test_mail_goes_to_the_catcher_unless_a_server_is_named(tmp_path: Path) -> None:
    def connect(**settings: str) -> dict[str, Any]:
        site = make_site(tmp_path, **settings)
        found: dict[str, Any] = json.loads(build_smtp_connection(site.env, site.ports, "from@example.test"))
        return found

    caught = connect()
    assert (caught["host"], caught["port"], caught["extra"]["disable_tls"]) == ("127.0.0.1", 1025, True)
    assert "login" not in caught
    real = connect(
        TOLLGATE_SMTP_HOST="smtp.example.test",
        TOLLGATE_SMTP_PORT="587",
        TOLLGATE_SMTP_USER="me",
        TOLLGATE_SMTP_PASSWORD="secret",
        TOLLGATE_SMTP_SECURITY="starttls",
    )
    assert (real["host"], real["port"], real["login"], real["password"]) == ("smtp.example.test", 587, "me", "secret")
    assert (real["extra"]["disable_tls"], real["extra"]["disable_ssl"]) == (False, True)
    with pytest.raises(SettingsError, match="TOLLGATE_SMTP_SECURITY"):
        connect(TOLLGATE_SMTP_SECURITY="maybe")


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    first, second = load_credentials(tmp_path), load_credentials(tmp_path)
    other = load_credentials(tmp_path / "other")
    assert first == second
    assert first.password != other.password
    assert len(first.password) >= 16
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert first.password not in repr(first)


def test_dotenv_reads_values_quotes_and_comments_and_names_a_wrong_line(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# note\n\nA=1\nexport B='two words'\nC=\"x=y\"\nD=\n")
    assert read_dotenv(path) == {"A": "1", "B": "two words", "C": "x=y", "D": ""}
    assert read_dotenv(tmp_path / "absent") == {}
    path.write_text("A=1\nnot a setting\n")
    with pytest.raises(SettingsError, match="Line 2"):
        read_dotenv(path)


def test_every_setting_of_the_example_is_a_comment_and_known(tmp_path: Path) -> None:
    """Copied as it is, .env.example changes nothing; uncommented, each line is read."""
    example = (Path(__file__).parents[3] / ".env.example").read_text()
    path = tmp_path / ".env"
    path.write_text(example)
    assert read_dotenv(path) == {}
    path.write_text("\n".join(line[1:] for line in example.splitlines() if line.startswith("#TOLLGATE_")))
    settings = read_dotenv(path)
    assert len(settings) > 15
    load_site(settings)
    root = Path(__file__).parents[3]
    sources = [path.read_text() for folder in ("config", "include") for path in (root / folder).rglob("*.py")]
    compose = root / "docker-compose.yaml"
    sources.append(compose.read_text() if compose.is_file() else "")
    unread = [n for n in settings if not any(f'"{n}"' in source or f"${{{n}:" in source for source in sources)]
    assert not unread


def test_every_setting_that_anything_reads_is_in_the_example() -> None:
    root = Path(__file__).parents[3]
    in_code, in_shell = r'"(TOLLGATE_\w+)"', r"\$\{([A-Z]\w+)"
    ways = [(folder, "*.py", in_code) for folder in ("bench", "config", "dags", "include", "plugins")]
    ways += [("config", "*.sh", in_shell), ("great_expectations", "*.yml", in_shell)]
    # Tests set many; only what they ask for is a setting.
    ways.append(("tests", "*.py", rf"environ\.get\({in_code}"))
    read = {
        name
        for folder, files, pattern in ways
        for path in (root / folder).rglob(files)
        for name in re.findall(pattern, path.read_text())
    }
    example = (root / ".env.example").read_text()
    # What the system tells its own programs.
    own = {"TOLLGATE_SYSTEM", "TOLLGATE_MAIL_CATCHER", "TOLLGATE_MODEL_VERSION"}
    assert read - own - set(re.findall(r"^# *([A-Z]\w+)(?:=|  )", example, re.MULTILINE)) == set()
