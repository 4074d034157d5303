"""A Great Expectations context for one evaluation: in memory, so that parallel gates share nothing.

A file context rewrites ``great_expectations.yml`` and its stores while it works, and parallel tasks corrupt them. Here
the suites are parsed from their JSON into memory; ``great_expectations/`` is only ever read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from include.gates.suites import Rule, Suite, invalid_suite


def import_gx() -> Any:
    """Import Great Expectations quietly (about 5 CPU-seconds the first time) and our own expectations with it."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    import include.gates.expectations  # noqa: F401  registers them: an unknown type would be dropped silently

    return gx


def create_context(results_folder: str | None = None) -> Any:
    """An ephemeral context; with a folder, its validation results are on disk."""
    gx = import_gx()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False),
    )
    config.data_docs_sites = {}
    if results_folder:
        config.stores["validation_results_store"] = {
            "class_name": "ValidationResultsStore",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": results_folder},
        }
    return gx.get_context(mode="ephemeral", project_config=config)


def build_rule(suite: str, rule: Rule) -> Any:
    """One expectation object of GX. Raises SuiteInvalid for an unknown type or arguments that do not fit."""
    import_gx()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    try:
        configuration = ExpectationConfiguration(
            type=rule.type,
            kwargs=dict(rule.kwargs),
            severity=FailureSeverity(rule.severity),
            description=rule.description or None,
        )
        return configuration.to_domain_obj()
    except Exception as error:  # GX raises many kinds for one cause: this rule is not one it can build
        reason = " ".join(str(error).split())[:400]
        raise invalid_suite(suite, f"{type(error).__name__}: {reason}", rule.name) from error


def build_suite(suite: Suite) -> Any:
    """The GX suite with every rule of ``suite`` in order.

    Raises SuiteInvalid when a rule cannot be built, or when GX kept fewer rules than the JSON declares.
    """
    gx = import_gx()
    built = gx.ExpectationSuite(suite.name, expectations=[build_rule(suite.name, rule) for rule in suite.rules])
    if len(built.expectations) != len(suite.rules):
        raise invalid_suite(suite.name, f"{len(suite.rules)} rules are declared but GX kept {len(built.expectations)}")
    return built


def evaluate_suite(context: Any, batch_definition: Any, built: Any, run: Mapping[str, Any]) -> Any:
    """Run a built suite on a batch definition of ``context``; ``run`` holds parameters, batch parameters, run id."""
    gx = import_gx()
    definition = gx.ValidationDefinition(name=built.name, data=batch_definition, suite=context.suites.add(built))
    return context.validation_definitions.add(definition).run(result_format="SUMMARY", **run)
