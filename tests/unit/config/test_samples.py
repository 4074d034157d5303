"""What ``make run`` asks the endpoint at its end: real rows, as a caller would have sent them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from config.environment import load_site
from config.story import sample_requests
from include.data.publish import list_partitions
from tests.unit.factory import make_pipeline
from tests.unit.steps.declared import publish_month
from tests.unit.toy import features


def test_a_sampled_request_is_made_of_all_rows_as_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, pipeline = load_site({"TOLLGATE_HOME": str(tmp_path / "home")}), make_pipeline()
    publish_month(site.settings, pipeline, "2013-01", tmp_path)
    alone = features.assemble_requests

    def assemble_together(rows: pd.DataFrame, references: dict[str, pd.DataFrame]) -> pd.DataFrame:
        """Like the flights' congestion: of the other rows that are given."""
        return alone(rows, references).assign(weight=float(len(rows)), distance=rows["parcel_id"].astype("float64"))

    monkeypatch.setattr(features, "assemble_requests", assemble_together)
    rows = pd.read_parquet(list_partitions(site.settings, pipeline)[-1].path)
    late = dict(zip(rows["parcel_id"].astype("float64"), features.mark_late(rows), strict=True))
    samples = sample_requests(site, pipeline, 5)
    assert [request["weight"] for request, _ in samples] == [400.0] * 5
    assert [label for _, label in samples] == [late[request["distance"]] for request, _ in samples]
    assert len({request["distance"] for request, _ in samples}) == 5
