"""Ports: defaults, one base, single settings, and a taken one is named."""

from __future__ import annotations

import socket

import pytest

from config.ports import LOOPBACK, check_port, read_ports
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
