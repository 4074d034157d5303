"""Who may ask, what identifies a request, what the endpoint says of itself, and that its counts are true."""

from __future__ import annotations

import html.parser
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.unit.serving.local_server import ROW, Local, make_model, score_halves, serve_locally

TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with serve_locally() as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[Local]:
    with serve_locally(token=TOKEN) as running:
        yield running


@pytest.mark.parametrize("given", [None, "", "Bearer", f"Bearer {TOKEN}x", "Bearer s3cret", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_only_health_is_answered(locked: Local, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    for path in ("/version", "/metrics", "/openapi.json", "/docs", "/nothing"):
        reply = locked.ask(path, **headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert locked.ask(body=ROW, **headers).status == 401
    assert locked.ask("/ping", **headers).status == 200
    assert locked.ask("/health", **headers).status == 200


def test_with_the_token_everything_is_answered(locked: Local) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert locked.ask(body=ROW, **headers).body["predictions"] == [0.5]
    for path in ("/version", "/metrics", "/openapi.json", "/docs"):
        reply = locked.ask(path, **headers)
        assert reply.status == 200
        assert TOKEN not in reply.content.decode()
    assert locked.ask("/openapi.json", **headers).body["security"] == [{"token": []}]


def test_an_answer_names_the_version_what_scored_it_and_the_request(local: Local) -> None:
    reply = local.ask(body=ROW, X_Request_Id="order-17:a/b")
    assert reply.body == {"predictions": [0.5], "model_version": "7"}
    assert reply.headers["x-model-version"] == "7"
    assert reply.headers["x-scoring-path"] == "pipeline"
    assert reply.headers["x-request-id"] == "order-17:a/b"


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", "<script>", "caf\xe9", '"quoted"'])
def test_a_request_without_a_harmless_id_gets_a_new_one(local: Local, given: str) -> None:
    found = [local.ask(body=ROW, X_Request_Id=given).headers["x-request-id"] for _ in range(3)]
    assert len(set(found)) == 3
    assert all(re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", name) for name in found)


def test_errors_carry_an_id_too(local: Local) -> None:
    for path in ("/nothing", "/invocations"):
        assert local.ask(path, X_Request_Id="mine").headers["x-request-id"] == "mine"


def test_the_counts_are_what_was_asked() -> None:
    with serve_locally() as local:
        asked: Counter[tuple[str, str]] = Counter()
        asked["/ping", "200"] = 0  # the fixture's own; left out below
        errors: Counter[str] = Counter()
        rows = 0
        plan: list[tuple[Any, str, str, int]] = [
            (ROW, "200", "", 5),
            ({"inputs": {"hour": [1, 2, 3]}}, "200", "", 4),
            ({"instances": [{"hour": "x"}]}, "400", "WRONG_TYPE", 3),
            ({"instances": [{"nope": 1}]}, "400", "UNKNOWN_COLUMN", 2),
            (b"{", "400", "BAD_JSON", 1),
        ]
        for body, status, code, times in plan:
            for _ in range(times):
                reply = local.ask(body=body)
                assert str(reply.status) == status
                asked["/invocations", status] += 1
                errors[code] += 1
                rows += len(reply.body["predictions"]) if status == "200" else 0
        for path, status, code in (
            ("/version", "200", ""),
            ("/invocations", "405", "METHOD_NOT_ALLOWED"),
            ("/../etc/passwd", "404", "NOT_FOUND"),
            ("/metrics/x", "404", "NOT_FOUND"),
        ):
            assert str(local.ask(path).status) == status
            asked[path if status != "404" else "other", status] += 1
            errors[code] += 1
        metrics = local.read_metrics()
    told = {key[1:]: value for key, value in metrics.items() if key[0] == "tollgate_requests_total"}
    told = {key: value for key, value in told.items() if key[0] not in ("/ping", "/metrics")}
    assert told == {key: value for key, value in asked.items() if key[0] != "/ping"}
    assert {key[1]: value for key, value in metrics.items() if key[0] == "tollgate_errors_total"} == {
        code: value for code, value in errors.items() if code
    }
    assert metrics["tollgate_rows_total", "7", "pipeline"] == rows
    assert metrics["tollgate_request_seconds_count", "7"] == asked["/invocations", "200"]
    assert metrics["tollgate_request_seconds_bucket", "+Inf", "7"] == asked["/invocations", "200"]
    assert 0 < metrics["tollgate_request_seconds_sum", "7"] < 5
    assert metrics["tollgate_model_workers", "7", "pipeline"] == 1
    assert metrics["tollgate_swaps_total", "7"] == 1
    assert metrics["tollgate_other_total",] == 0


def test_metrics_are_offered_as_openmetrics_too(local: Local) -> None:
    reply = local.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in text_string_to_metric_families(reply.content.decode())}
    assert {"tollgate_requests", "tollgate_request_seconds", "tollgate_connections"} <= names


def check_value(document: Any, name: str, value: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_the_document_describes_what_is_accepted_and_what_is_answered(local: Local) -> None:
    document = local.ask("/openapi.json").body
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "made_up", "version": "7"}
    body = document["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    names = [shape["$ref"].rpartition("/")[2] for shape in body["schema"]["oneOf"]]
    good = [
        body["example"],
        ROW,
        {"dataframe_records": [{"hour": 1.5, "carrier": None}]},
        {"dataframe_split": {"columns": ["carrier", "hour"], "data": [["AA", 1]]}},
        {"inputs": {"hour": [1, 2]}},
        {"inputs": [{"hour": 1}]},
    ]
    bad = [
        {},
        [],
        {"instances": []},
        {"instances": [{"hour": None}]},
        {"instances": [{"hour": 1, "nope": 1}]},
        {"instances": [{"carrier": "AA"}]},
        {"inputs": {"hour": 1}},
        {"dataframe_split": {"columns": ["hour", "hour"], "data": [[1, 1]]}},
        {"instances": [{"hour": 1}], "inputs": {"hour": [1]}},
    ]
    for value in good:
        reply = local.ask(body=value)
        assert reply.status == 200, value
        assert [check_value(document, name, value) for name in names].count(True) == 1, value
        assert check_value(document, "Predictions", reply.body)
    for value in bad:
        reply = local.ask(body=value)
        assert reply.status == 400, value
        assert not any(check_value(document, name, value) for name in names), value
        assert check_value(document, "Error", reply.body)
    statuses = document["paths"]["/invocations"]["post"]["responses"]
    assert {"200", "400", "413", "415", "429", "503", "504"} <= statuses.keys()


@pytest.mark.parametrize(
    "rules, row",
    [
        ({"unknown_columns": "ignore"}, {"hour": 1, "nope": [1]}),
        ({"required_nulls": "accept"}, {"hour": None}),
        ({"number_texts": "read"}, {"hour": "5"}),
    ],
)
def test_a_relaxed_rule_is_in_the_document_too(local: Local, rules: dict[str, str], row: dict[str, Any]) -> None:
    values = [
        {"instances": [row]},
        {"inputs": [row]},
        {"inputs": {name: [value] for name, value in row.items()}},
        {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
    ]
    strict = local.ask("/openapi.json").body
    with serve_locally(make_model(score_halves, **rules)) as relaxed:
        document = relaxed.ask("/openapi.json").body
        for value in values:
            name = "dataframe_split" if "dataframe_split" in value else next(iter(value))
            assert relaxed.ask(body=value).status == 200
            assert check_value(document, name, value)
            assert local.ask(body=value).status == 400
            # A type of a value in split cannot be told from the others' there.
            assert name == "dataframe_split" or not check_value(strict, name, value)


def test_the_csv_example_is_accepted(local: Local) -> None:
    content = local.ask("/openapi.json").body["paths"]["/invocations"]["post"]["requestBody"]["content"]
    reply = local.ask(body=content["text/csv"]["example"].encode(), content_type="text/csv")
    assert reply.body["predictions"] == [0.5]


class _References(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "link", "iframe", "object")
        self.found += [str(value) for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_from_elsewhere_and_shows_every_column(local: Local) -> None:
    reply = local.ask("/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    text = reply.content.decode()
    references = _References()
    references.feed(text)
    assert references.found == ["openapi.json"]
    assert "Hour &lt;of&gt; the day" in text
    assert "carrier" in text
    curl = html.unescape(re.search(r"<pre>(.*)</pre>", text)[1])  # type: ignore[index]
    example = json.loads(curl.partition(" -d '")[2].rstrip("'"))
    assert local.ask(body=example).status == 200


def test_nothing_served_yet_is_a_503_that_says_so_wherever_a_model_is_needed() -> None:
    with serve_locally() as local:
        serving, local.endpoint.serving = local.endpoint.serving, None
        local.endpoint.state, local.endpoint.reason = "broken", "The files are gone."
        for reply in (local.ask("/ping"), local.ask(body=ROW), local.ask("/openapi.json"), local.ask("/docs")):
            assert reply.status == 503
            assert reply.headers["retry-after"] == "1"
            assert reply.body["status"] == "broken"
            assert reply.body["reason"] == "The files are gone."
        assert local.ask("/version").status == 200
        assert local.ask("/metrics").status == 200
        local.endpoint.serving = serving
        assert local.ask(body=ROW).status == 200


def test_a_swap_changes_the_names_on_the_answers_and_the_document() -> None:
    with serve_locally() as local:
        assert local.ask(body=ROW).headers["x-model-version"] == "7"
        assert local.ask("/openapi.json").body["info"]["version"] == "7"
        local.endpoint.take(make_model(score_halves, version="8é"), None)
        reply = local.ask(body=ROW)
        assert (reply.body["model_version"], reply.headers["x-model-version"]) == ("8é", "8?")
        assert local.ask("/openapi.json").body["info"]["version"] == "8é"
        assert local.read_metrics()["tollgate_request_seconds_count", "8é"] == 1
