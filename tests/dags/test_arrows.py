"""Who may import whom outside ``include``; what lies within it is import-linter's (pyproject.toml)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Whatever a task does is a function of include, imported inside the task.
DAGS = {"airflow", "include", "tollgate"}
# Each with its reason: a plugin is read at start-up by every component, so it knows little and does less.
PLUGINS = {
    "airflow": "what they are glue for",
    "fastapi": "the Tollgate page is part of Airflow's API server",
    "starlette": "likewise",
    "msgspec": "writes a figure that is no number as null, where JSON of Python fails the whole page",
    "tollgate": "one another",
    "include.cloud": "the patience of a client that is made of a connection",
    "include.console": "what the Tollgate page and the links of a task show",
    "include.contracts": "what crosses tasks",
    "include.data": "the sensor and the trigger ask what has arrived, and who takes it",
    "include.declaration": "a pipeline's owners, deadlines, approval and compute",
    "include.deployment": "a trigger asks how far a service's rollout is",
    "include.describe": "numbers as a mail says them",
    "include.errors": "terminal or transient decides about a retry",
    "include.links": "the pages that mails and runs lead to",
    "include.mail": "what a mail is, and the outbox that loses none",
    "include.settings": "folders and addresses",
    "include.steps": "an operator that waits for a rollout asks what came of it",
}
# Whatever is above include: it is used by them and has never heard of them.
ABOVE = {"airflow", "bench", "config", "dags", "plugins", "tests", "tollgate"}


def list_imports(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, also inside its functions; ``tollgate_…`` as tollgate."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from ("tollgate" if name.startswith("tollgate_") else name for name in names)


def find_used(folder: str) -> dict[str, set[str]]:
    """What the files of a folder import beside Python's own library: package, or package and part of include."""
    used: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for name in list_imports(path):
            first, *rest = name.split(".")
            if first not in sys.stdlib_module_names:
                used.setdefault(f"include.{rest[0]}" if first == "include" and rest else first, set()).add(path.name)
    return used


def test_dags_know_airflow_plugins_and_include() -> None:
    assert {name: files for name, files in find_used("dags").items() if name.partition(".")[0] not in DAGS} == {}


def test_plugins_know_only_what_has_a_reason_and_every_reason_is_needed() -> None:
    used = find_used("plugins")
    assert {name: files for name, files in used.items() if name not in PLUGINS} == {}
    assert set(PLUGINS) - set(used) == set()


def test_include_has_never_heard_of_what_is_above_it() -> None:
    stems = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert {name: files for name, files in find_used("include").items() if name in ABOVE | stems} == {}
