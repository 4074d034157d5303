"""The name under which Airflow's components know each other when all of them listen on the loopback address."""

from __future__ import annotations


def get_hostname() -> str:
    """Always the loopback address: task logs are fetched from it, and no name service is asked."""
    return "127.0.0.1"
