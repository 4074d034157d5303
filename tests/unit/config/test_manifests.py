"""``make manifests``: what is written, for whom, and that it is the same every time."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config.environment import Site, load_site
from config.manifests import write_manifests
from include.deployment.kserve.schema import find_problems
from include.errors import DeclarationError
from include.records import write_record
from include.settings import Settings
from tests.unit.declaration.test_loader import declare

KSERVE = ("LocalTarget(port_offset=0)", 'KServeTarget(namespace="models", storage_prefix="s3://bucket/models")')


@pytest.fixture(autouse=True)
def forget_imported_pipelines() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "tollgate_pipelines"]:
        del sys.modules[name]


@pytest.fixture
def site(settings: Settings) -> Site:
    return dataclasses.replace(load_site(), settings=settings)


def test_all_pipelines_on_kserve_are_written_and_no_others(site: Site, settings: Settings, tmp_path: Path) -> None:
    declare(settings, "late_parcels", 0, KSERVE)
    declare(settings, "elsewhere", 1)
    folder = tmp_path / "manifests"
    told = write_manifests(site, folder, "", "7")
    assert [path.name for path in folder.iterdir()] == ["late-parcels.yaml"]
    assert "version 7 of late_parcels" in told
    document = yaml.safe_load((folder / "late-parcels.yaml").read_text())
    assert find_problems(document) == []
    assert document["spec"]["predictor"]["model"]["storageUri"] == "s3://bucket/models/late_parcels/7"
    assert "canaryTrafficPercent" not in document["spec"]["predictor"]
    before = (folder / "late-parcels.yaml").read_bytes()
    write_manifests(site, folder, "", "7")
    assert (folder / "late-parcels.yaml").read_bytes() == before


def test_a_named_pipeline_is_written_whatever_its_target(site: Site, settings: Settings, tmp_path: Path) -> None:
    declare(settings, "elsewhere", 1)
    told = write_manifests(site, tmp_path / "out", "elsewhere", "2")
    assert "with an example's namespace and bucket" in told
    assert find_problems(yaml.safe_load((tmp_path / "out" / "elsewhere.yaml").read_text())) == []


def test_without_a_version_it_is_what_the_ledger_says_is_served(site: Site, settings: Settings, tmp_path: Path) -> None:
    declare(settings, "late_parcels", 0, KSERVE)
    with pytest.raises(DeclarationError, match="no version to write"):
        write_manifests(site, tmp_path / "out", "", "")
    deployment = {
        **{"pipeline": "late_parcels", "target": "kserve", "version": "4", "previous_version": None, "reason": "why"},
        **{"partition": "2013-01", "endpoint_url": "u", "deployed_at": "2026-01-01T00:00:00.000+00:00", "by": "run"},
        **{"model_dir": "s3://bucket/models/late_parcels/4", "rolled_back_from": None, "who": None},
    }
    write_record(settings, "late_parcels", "deployment", "2026@4", deployment)
    assert "version 4 of late_parcels" in write_manifests(site, tmp_path / "out", "", "")


def test_without_a_pipeline_on_kserve_it_says_how_to_have_one(site: Site, settings: Settings, tmp_path: Path) -> None:
    declare(settings, "elsewhere", 1)
    with pytest.raises(DeclarationError, match="kind kserve"):
        write_manifests(site, tmp_path / "out", "", "1")
