"""The pages of the data docs: Great Expectations' sections in a frame of our own, which needs no script and no server.

GX's frame takes its looks and its index from scripts on other people's servers: on a machine without the internet, or
under a policy that lets no script run, there would be nothing to see.
"""

from __future__ import annotations

import html
import json
import logging
from pathlib import Path
from typing import Any

from include.contracts import GateReport

_TEMPLATES = Path(__file__).with_name("templates")


def _fill_template(name: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    return environment.get_template(name).render(**values)


def _render_document(document: Any, heading: str, home: str, filtered: bool) -> str:
    from great_expectations.render.view.view import DefaultJinjaPageView

    view: Any = DefaultJinjaPageView(custom_views_directory=str(_TEMPLATES))
    page: str = view.render(document, template="result.html", heading=heading, home=home, filtered=filtered)
    return page


def _explain(error: Exception, heading: str) -> str:
    # A page that GX cannot draw must not stop a gate, whose evidence is stored already.
    logging.getLogger(__name__).warning("the data docs page %s could not be drawn: %r", heading, error)
    told = f"Great Expectations could not draw this page: {error!r}. The result is in the folder validations beside it."
    return f"<!doctype html><html><body><h1>{html.escape(heading)}</h1><p>{html.escape(told)}</p></body></html>"


def render_result(result: Any, heading: str) -> str:
    """The page of a validation result, as GX's store returns it."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    try:
        # <suite>/<run>/<time>/<batch>.html lies this deep below the site's folder.
        return _render_document(ValidationResultsPageRenderer().render(result), heading, "../../../..", True)
    except Exception as error:  # noqa: BLE001 - GX's renderers raise whatever a rule of theirs trips over
        return _explain(error, heading)


def render_suite(suite: Any) -> str:
    """The page of a GX suite: its rules in sentences."""
    from great_expectations.render.renderer.page_renderer import ExpectationSuitePageRenderer

    renderer: Any = ExpectationSuitePageRenderer()
    try:
        return _render_document(renderer.render(suite), suite.name, "..", False)
    except Exception as error:  # noqa: BLE001 - as above
        return _explain(error, suite.name)


def _describe_result(path: Path, results: Path) -> dict[str, Any]:
    """One line of the index. ``path`` is ``<suite>/<run>/<time>/<batch>.json`` below ``results``."""
    document = json.loads(path.read_bytes())
    suite, subject, at, _ = path.relative_to(results).parts
    return {
        "success": document["success"],
        "subject": subject,
        "suite": suite,
        "evaluated": document["statistics"]["evaluated_expectations"],
        "passed": document["statistics"]["successful_expectations"],
        "at": f"{at[:4]}-{at[4:6]}-{at[6:8]} {at[9:11]}:{at[11:13]}:{at[13:15]}",
        "href": f"validations/{path.relative_to(results).with_suffix('.html').as_posix()}",
        "order": at,
    }


def render_index(pipeline: str, results: Path, kept: int) -> str:
    """The index of every validation result that lies below the folder ``results``."""
    found = [_describe_result(path, results) for path in results.glob("*/*/*/*.json") if path.name[0] != "."]
    found.sort(key=lambda result: str(result["order"]), reverse=True)
    return _fill_template("index.html", pipeline=pipeline, results=found, kept=kept)


def render_findings(report: GateReport) -> str:
    """The page of a report that Great Expectations has no page for: what the file itself gave away."""
    return _fill_template("findings.html", heading=f"{report.gate} gate on {report.subject}", report=report)
