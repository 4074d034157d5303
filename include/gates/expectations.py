"""Expectations of our own, where GX's break. Import this module before a stored suite that uses them is parsed."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from great_expectations.expectations.core import unexpected_rows_expectation as stock
from great_expectations.expectations.core.expect_column_quantile_values_to_be_between import (
    ExpectColumnQuantileValuesToBeBetween,
)


class ExpectColumnQuantilesWithin(ExpectColumnQuantileValuesToBeBetween):
    """Quantiles within ranges, with an outcome that can be stored.

    GX 1.24's own class answers with a NumPy boolean, which no store on disk can write.
    """

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        outcome: Any = super()._validate(metrics, runtime_configuration, execution_engine)
        outcome["success"] = bool(outcome["success"])
        return outcome


# GX warns that a known name is taken over below, which is the purpose.
_registry_log = logging.getLogger("great_expectations.expectations.registry")
_registry_log.disabled = True


class UnexpectedRowsExpectation(stock.UnexpectedRowsExpectation):
    """GX's own rule, with its query run once, to count.

    GX runs it a second time to fetch the rows, which a summary does not show. Uniqueness of a key over ten million rows
    costs 3 CPU-seconds each time, and a refresh that is bad throughout would be fetched into memory whole.
    """

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        counted = {"unexpected_rows_query.table": [], **metrics}
        return super()._validate(counted, runtime_configuration, execution_engine)


_registry_log.disabled = False
