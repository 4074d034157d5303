"""The toy pipeline that other unit tests lean on is itself usable."""

from __future__ import annotations

from include.declaration import Pipeline
from include.declaration.resolve import resolve_function
from tests.unit.factory import make_rows


def test_toy_functions_resolve_and_agree_with_the_declaration(pipeline: Pipeline) -> None:
    rows = make_rows("2013-02", 300)
    label = resolve_function(pipeline, pipeline.label.function)(rows)
    requests = resolve_function(pipeline, pipeline.request.assemble)(rows, {})
    assert list(rows.columns) == list(pipeline.data.columns)
    assert set(requests.columns) == set(pipeline.request.columns)
    assert 0.05 < label.mean() < 0.9 and label.isin([0.0, 1.0]).all()
