"""A prediction through the ingress: the service's host in the header, the path by what the body is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from include.declaration import KServeTarget
from include.deployment.kserve.asking import ask_model
from include.errors import TargetUnavailable
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench, declare
from tests.unit.deployment.kserve.ingress import serve_ingress

URL = "http://parcels.models.example.com"
V2 = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}).encode()
ROWS = json.dumps({"dataframe_records": [{"x": None}]}).encode()


class Ingress:
    """What stands before the services: it keeps what it was asked, and answers ``status``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status = 200

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.asked.append({"path": path, "host": headers["host"], "body": body})
        return self.status, {"x-model-version": "3"}, b'{"predictions": [0.5]}'


@pytest.fixture
def ingress() -> Iterator[tuple[Ingress, str]]:
    kept = Ingress()
    with serve_ingress(kept.answer) as url:
        yield kept, url


def make_target(url: str, **changes: Any) -> KServeTarget:
    fields = {"namespace": "models", "storage_prefix": "s3://bucket/m", "ingress_url": url, **changes}
    return KServeTarget(**fields)


@pytest.mark.parametrize(
    ("image", "body", "path"),
    [
        (None, V2, "/v2/models/parcels/infer"),
        (None, ROWS, "/invocations"),
        (None, b"1,2,3", "/invocations"),
        ("image", V2, "/invocations"),
        ("image", ROWS, "/invocations"),
    ],
)
def test_the_path_is_by_the_body_and_the_host_is_the_services(
    ingress: tuple[Ingress, str], image: str | None, body: bytes, path: str
) -> None:
    kept, url = ingress
    answer = ask_model(make_target(url, image=image), "parcels", URL, body, "application/json")
    assert (answer.status, answer.body, answer.version) == (200, b'{"predictions": [0.5]}', "3")
    assert kept.asked == [{"path": path, "host": "parcels.models.example.com", "body": body}]


def test_an_error_of_the_model_is_its_answer(ingress: tuple[Ingress, str]) -> None:
    kept, url = ingress
    kept.status = 400
    assert ask_model(make_target(url), "parcels", URL, ROWS, "application/json").status == 400


def test_no_answer_can_be_tried_again() -> None:
    with pytest.raises(TargetUnavailable, match=r"parcels.models.example.com did not answer"):
        ask_model(make_target("http://127.0.0.1:9"), "parcels", URL, ROWS, "application/json")


def test_the_target_asks_what_the_cluster_names(bench: Bench, cluster: Cluster, ingress: tuple[Ingress, str]) -> None:
    kept, url = ingress
    with pytest.raises(TargetUnavailable, match="no address yet"):
        bench.open().predict(ROWS, "application/json")
    bench.serve("1")
    bench.pipeline = declare(bench.claim, ingress_url=url)
    assert bench.open().predict(ROWS, "application/json").status == 200
    assert kept.asked[0]["host"] == "parcels.models.example.com"
