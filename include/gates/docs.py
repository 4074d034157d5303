"""Validation results and data docs on disk: the last of each suite, whatever is killed or runs at the same time.

The index is made from every stored result. So one pipeline's docs are written under a lock, and each file whole: a gate
killed in the middle never leaves a half-written result that would break the docs of every later gate.
"""

from __future__ import annotations

import fcntl
import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.gates.context import create_context
from include.gates.pages import render_index, render_result, render_suite
from include.records import write_file_atomically
from include.settings import Settings

KEPT_RESULTS = 20


@contextmanager
def _lock_docs(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".docs.lock").open("w") as handle:
        # The kernel frees the lock when its holder dies, so a killed gate blocks nobody.
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def locate_result(settings: Settings, pipeline: str, key: Any) -> tuple[Path, Path]:
    """Paths of a validation result and of its page; ``key`` is GX's ValidationResultIdentifier."""
    root = settings.reports_root / pipeline
    inner = Path(*key.to_tuple())
    result = root / "validations" / inner
    page = root / "data_docs" / "local_site" / "validations" / inner
    return result.with_name(result.name + ".json"), page.with_name(page.name + ".html")


def _prune_folder(folder: Path, suffix: str) -> None:
    """Keep the newest files of ``<suite>/<run>/<time>/<batch><suffix>``; the time in the path sorts as text."""
    found = sorted(folder.glob(f"*/*/*{suffix}"), key=lambda path: path.parent.name, reverse=True)
    for path in found[KEPT_RESULTS:]:
        path.unlink(missing_ok=True)
        for parent in (path.parent, path.parent.parent):
            if not any(parent.iterdir()):
                parent.rmdir()


def _escape_text(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [_escape_text(inner) for inner in value]
    if isinstance(value, dict):
        return {html.escape(key): _escape_text(inner) for key, inner in value.items()}
    return value


def _escape_observations(text: str) -> bytes:
    """The stored form of a result, with everything that came from the data escaped for HTML.

    GX's pages write observed values as they are, so a refresh could put a script into them. The rules themselves are
    reviewed and stay as written; the gate's own report keeps the raw values.
    """
    document = json.loads(text)
    for outcome in document["results"]:
        for part in ("result", "exception_info"):
            outcome[part] = _escape_text(outcome.get(part) or {})
    return json.dumps(document, indent=2, sort_keys=True).encode()


def publish_result(settings: Settings, pipeline: str, built: Any, result: Any, key: Any) -> Path:
    """Store one validation result and its data docs page; older ones beyond the last 20 of its suite go.

    ``built`` is the GX suite, ``result`` its validation result. Returns the page's absolute path.
    """
    root = settings.reports_root / pipeline
    site = root / "data_docs" / "local_site"
    result_path, page = locate_result(settings, pipeline, key)
    suite = key.expectation_suite_identifier
    with _lock_docs(root):
        store = create_context(str(root / "validations")).validation_results_store
        write_file_atomically(result_path, _escape_observations(store.serialize(result)))
        _prune_folder(root / "validations" / suite.name, ".json")
        write_file_atomically(page, render_result(store.get(key), f"{built.name} on {key.run_id.run_name}").encode())
        _prune_folder(site / "validations" / suite.name, ".html")
        write_file_atomically(site / "expectations" / f"{suite.name}.html", render_suite(built).encode())
        write_file_atomically(site / "index.html", render_index(pipeline, root / "validations", KEPT_RESULTS).encode())
    return page
