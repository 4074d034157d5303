"""Ports: defaults, one base, single settings, and a taken one is named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from config.environment import load_site
from config.ports import LOOPBACK, check_port, read_ports
from config.programs import list_endpoints
from include.errors import PortTaken, SettingsError


def test_defaults_are_those_of_the_documentation() -> None:
    ports = read_ports({})
    assert (ports.airflow, ports.mlflow, ports.endpoint, ports.smtp, ports.mail) == (8080, 5000, 8090, 1025, 8025)


def test_a_base_moves_every_port_and_a_single_setting_wins_over_it() -> None:
    ports = read_ports({"TOLLGATE_PORT_BASE": "21000", "TOLLGATE_MLFLOW_PORT": "5001"})
    assert (ports.airflow, ports.mlflow, ports.endpoint) == (21000, 5001, 21010)
    assert len(set(ports.to_dict().values())) == len(ports.to_dict())


def test_ports_survive_the_way_through_an_environment() -> None:
    ports = read_ports({"TOLLGATE_PORT_BASE": "21000"})
    assert read_ports(ports.to_environment()) == ports


@pytest.mark.parametrize("text", ["abc", "0", "65536", "-1", "80.5"])
def test_what_is_no_port_is_refused_with_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="TOLLGATE_MAIL_PORT"):
        read_ports({"TOLLGATE_MAIL_PORT": text})


def test_a_taken_port_is_named_with_its_setting_and_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            check_port(port, "TOLLGATE_MLFLOW_PORT", "mlflow")
    assert str(port) in caught.value.message
    assert "mlflow" in caught.value.message
    assert "process" in caught.value.message
    assert "TOLLGATE_MLFLOW_PORT" in caught.value.next_step
    check_port(port, "TOLLGATE_MLFLOW_PORT", "mlflow")  # free again: no error


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0", "localhost"])
def test_a_port_is_looked_for_where_its_program_will_listen(host: str) -> None:
    with socket.socket() as holder:
        holder.bind((host, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match="is in use by"):
            check_port(port, "TOLLGATE_ENDPOINT_PORT", "endpoint", host)
    check_port(port, "TOLLGATE_ENDPOINT_PORT", "endpoint", host)


def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(PortTaken, match=r"cannot be bound on 192\.0\.2\.1"):
        check_port(8090, "TOLLGATE_ENDPOINT_PORT", "endpoint", "192.0.2.1")


@pytest.mark.parametrize(
    ("host", "asked"),
    [("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]")],
)
def test_an_endpoint_is_asked_for_its_health_where_it_listens(tmp_path: Path, host: str, asked: str) -> None:
    (endpoint,) = list_endpoints(load_site({"TOLLGATE_HOME": str(tmp_path), "TOLLGATE_ENDPOINT_HOST": host}))
    assert endpoint.health == f"http://{asked}:8090/version"
    assert endpoint.host == (host or "127.0.0.1")
