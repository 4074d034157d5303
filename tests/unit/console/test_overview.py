"""What the page links to."""

from __future__ import annotations

import pytest

from include.console.overview import _link_named_run
from include.settings import Settings


def test_a_run_of_a_dag_is_linked_to(settings: Settings) -> None:
    found = _link_named_run(settings, "parcels.deploy_model/manual__2013")
    assert found == f"{settings.airflow_public_url}/dags/parcels.deploy_model/runs/manual__2013"


@pytest.mark.parametrize("named", ["", "a test", "by hand/alice-1357", "by hand/j.doe-1357", "parcels.deploy_model"])
def test_whoever_is_no_run_has_no_page(settings: Settings, named: str) -> None:
    assert _link_named_run(settings, named) == ""
