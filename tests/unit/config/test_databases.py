"""The databases of docker-compose.yaml: what is said where there is no server; tests/services make real ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from config.databases import make_databases
from include.errors import SettingsError
from include.settings import PROJECT_ROOT


def test_a_database_that_is_no_server_needs_nothing() -> None:
    assert make_databases(["ONE"], {"ONE": "sqlite:////tmp/one.db"}) == ["ONE: sqlite needs nothing"]


def test_a_setting_without_a_value_is_named() -> None:
    with pytest.raises(SettingsError, match="ONE is not set"):
        make_databases(["ONE"], {"ONE": ""})


def test_a_server_out_of_reach_is_named_without_its_password_and_ends_the_step() -> None:
    address = "postgresql+psycopg2://me:hidden@127.0.0.1:1/one"
    command = [sys.executable, "-m", "config.databases", "ONE"]
    env = {"PATH": "/usr/bin", "ONE": address}
    done = subprocess.run(command, env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "127.0.0.1:1/one" in done.stderr
    assert "ONE" in done.stderr
    assert "hidden" not in done.stderr
