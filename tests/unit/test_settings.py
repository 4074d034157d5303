"""Settings: the environment becomes one frozen value, and a wrong one is named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from include.errors import SettingsError
from include.settings import PROJECT_ROOT, load_settings


def test_defaults_are_below_the_project_and_on_loopback() -> None:
    settings = load_settings({})
    assert settings.home == PROJECT_ROOT / ".tollgate"
    assert settings.pipelines_path == PROJECT_ROOT / "include" / "pipelines"
    assert settings.gx_root == PROJECT_ROOT / "great_expectations"
    assert settings.mlflow_uri == settings.mlflow_public_url == "http://127.0.0.1:5000"
    assert settings.airflow_public_url == "http://127.0.0.1:8080"
    assert (settings.endpoint_host, settings.endpoint_port) == ("127.0.0.1", 8090)
    assert settings.cores >= 1


def test_home_moves_every_piece_of_state(tmp_path: Path) -> None:
    settings = load_settings({"TOLLGATE_HOME": f"{tmp_path}/a/../b"})
    roots = [value for name in dir(settings) if name.endswith("_root") for value in [getattr(settings, name)]]
    state = [root for root in roots if root not in (settings.project_root, settings.gx_root)]
    assert len(state) >= 7
    assert {root.parent for root in state} == {tmp_path / "b"}
    assert not (tmp_path / "b").exists(), "reading the settings makes nothing"


def test_relative_home_becomes_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"TOLLGATE_HOME": "state"})
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "state"


def test_ports_move_the_addresses_and_explicit_addresses_win() -> None:
    moved = load_settings({"TOLLGATE_MLFLOW_PORT": "5001", "TOLLGATE_AIRFLOW_PORT": "8081"})
    assert (moved.mlflow_uri, moved.airflow_public_url) == ("http://127.0.0.1:5001", "http://127.0.0.1:8081")
    named = load_settings({"MLFLOW_TRACKING_URI": "http://127.0.0.1:7/", "TOLLGATE_MLFLOW_PUBLIC_URL": "https://ml/x/"})
    assert (named.mlflow_uri, named.mlflow_public_url) == ("http://127.0.0.1:7", "https://ml/x")


def test_empty_variable_means_the_default() -> None:
    empty = dict.fromkeys(("TOLLGATE_HOME", "TOLLGATE_ENDPOINT_PORT", "TOLLGATE_CORES", "MLFLOW_TRACKING_URI"), "")
    assert load_settings(empty) == load_settings({})


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1", "80.5", "8090; rm"])
def test_unusable_port_is_an_error_that_names_variable_value_and_default(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"TOLLGATE_ENDPOINT_PORT": value})
    assert (caught.value.setting, caught.value.value) == ("TOLLGATE_ENDPOINT_PORT", value)
    assert "8090" in str(caught.value)


def test_the_endpoints_token_is_not_shown() -> None:
    settings = load_settings({"TOLLGATE_ENDPOINT_TOKEN": " s3cret\n"})
    assert settings.endpoint_token == "s3cret"
    assert "s3cret" not in repr(settings)
    assert load_settings({"TOLLGATE_ENDPOINT_TOKEN": "  "}).endpoint_token is None


@pytest.mark.parametrize("value", ["two words", "caf\xe9", "tab\there", "new\nline"])
def test_a_token_that_no_header_can_carry_is_an_error_that_does_not_show_it(value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"TOLLGATE_ENDPOINT_TOKEN": value})
    assert caught.value.setting == "TOLLGATE_ENDPOINT_TOKEN"
    assert value not in str(caught.value)


def test_the_endpoints_limits_are_sagemakers_by_default() -> None:
    settings = load_settings({})
    assert (settings.endpoint_workers, settings.endpoint_body_mb, settings.endpoint_token) == (1, 6, None)
    assert settings.endpoint_seconds < 60
    assert load_settings({"TOLLGATE_ENDPOINT_WORKERS": "4"}).endpoint_workers == 4
    for name in ("WORKERS", "BODY_MB", "SECONDS", "CONNECTIONS"):
        with pytest.raises(SettingsError):
            load_settings({f"TOLLGATE_ENDPOINT_{name}": "0"})


def test_settings_cannot_be_changed_by_their_user() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings({}).cores = 9  # type: ignore[misc]


def test_what_dag_files_import_loads_nothing_heavy() -> None:
    """DAG files read these modules at every parse."""
    heavy = "pandas numpy sklearn mlflow great_expectations duckdb scipy matplotlib pyarrow"
    modules = "settings errors contracts records declaration.loader declaration.resolve scoring.expressions"
    imports = "; ".join(f"import include.{name}" for name in modules.split())
    code = f"import sys; {imports}; print([name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
