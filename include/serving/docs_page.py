"""The page of GET /docs: the OpenAPI document for people, in one file that loads nothing."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from include.serving.model import ServedModel
from include.serving.openapi import make_example

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d5dce3; vertical-align: top; }
code, pre { font: .9em ui-monospace, monospace; } pre { background: #f2f5f8; padding: .8rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) {
  body { background: #14191f; color: #dfe6ee; } pre { background: #1f2730; } th, td { border-color: #36424f; }
}
"""


def render_page(document: dict[str, Any], model: ServedModel) -> bytes:
    """The page, as UTF-8."""
    info = document["info"]
    title = escape(str(info["title"]))
    token = ' -H "Authorization: Bearer $TOKEN"' if "security" in document else ""
    curl = (
        f"curl -s http://HOST:PORT/invocations{token} -H 'Content-Type: application/json' -d '{_format_example(model)}'"
    )
    answers = document["paths"]["/invocations"]["post"]["responses"]
    parts = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}, version {escape(str(info['version']))}</h1>",
        "<p>For programs: <a href='openapi.json'>openapi.json</a>.</p>",
        "<h2>A request</h2>",
        f"<pre>{escape(curl)}</pre>",
        "<p>The same rows may be sent as <code>dataframe_split</code>, <code>instances</code> or <code>inputs</code>,"
        " or as <code>text/csv</code> with a first line of column names. <code>predictions</code> in the answer holds"
        " one number for each row; <code>x-model-version</code> says which version gave them. An answer with"
        " <code>x-captured</code> was written down, under its request id and without the columns marked private.</p>",
        "<h2>Columns</h2>",
        _render_table(("Column", "Type", "", "Meaning"), [_describe(model, name) for name in model.schema.names]),
        *_render_rules(model),
        "<h2>Answers</h2>",
        _render_table(("Status", "Meaning"), [(status, answers[status]["description"]) for status in sorted(answers)]),
        "<h2>Addresses</h2>",
        _render_table(
            ("Path", "What it is"),
            [
                (f"{method.upper()} {path}", operation["summary"])
                for path, operations in document["paths"].items()
                for method, operation in operations.items()
            ],
        ),
    )
    return "\n".join(parts).encode()


def _describe(model: ServedModel, name: str) -> tuple[str, ...]:
    column = next(column for column in model.schema.columns if column.name == name)
    text = str(model.metadata["request"][name].get("description") or "")
    needed = "required" if column.required else "may be null or absent"
    return (name, column.kind, f"{needed}, private" if column.private else needed, text)


_ACTIONS = {
    "clip": "is moved to the bound",
    "refuse": "is not given: the request gets 500",
    "champion": "is not given: in a rollout the version before this one answers, else the request gets 500",
}


def _render_rules(model: ServedModel) -> list[str]:
    """What every prediction keeps; nothing where nothing is declared."""
    rows: list[tuple[str, ...]] = [
        (rule.name, rule.describe_bounds(), _ACTIONS[rule.action]) for rule in model.rules.rules
    ]
    return ["<h2>Prediction rules</h2>", _render_table(("Rule", "Prediction", "One beyond it"), rows)] if rows else []


def _format_example(model: ServedModel) -> str:
    # Inside single quotes of a shell.
    return json.dumps(make_example(model)).replace("'", "'\\''")


def _render_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    for row in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        lines.append(f"<tr><td><code>{escape(row[0])}</code></td>{cells}</tr>")
    return "\n".join([*lines, "</table>"])
