"""Tiny real models on disk, and real serving processes, for the tests of serving and of deployment."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import skops.io
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline as chain
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from include.declaration import Pipeline
from include.pointer import Pointer, write_pointer
from include.records import utc_now
from include.scoring.compiled.convert import convert_scorer
from include.scoring.compiled.document import FILE_NAME, write_document
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT
from tests.unit.factory import make_rows

TABLES = {
    "carriers": {"key": "carrier", "keys": ["AA", "BB"], "columns": {"fleet_age": [4.0, 11.0]}},
}


def make_requests(pipeline: Pipeline, rows: int = 200, seed: int = 1) -> pd.DataFrame:
    """Raw requests of the toy pipeline, some optional values missing."""
    frame = make_rows(rows=rows, seed=seed)[list(pipeline.request.columns)].copy()
    frame.loc[frame.index[::7], "weight"] = None
    frame.loc[frame.index[::5], "depot"] = None
    for name, column in pipeline.request.columns.items():
        if column.type == "number":
            frame[name] = frame[name].astype("float64")
    return frame


def fit_scorer(pipeline: Pipeline, seed: int = 1) -> Scorer:
    """A small linear scorer of the toy pipeline's own features."""
    numbers = [feature.name for feature in pipeline.features if feature.kind == "number"]
    texts = [feature.name for feature in pipeline.features if feature.kind == "category"]
    prepare = ColumnTransformer(
        [
            ("numbers", chain(SimpleImputer(), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )
    features = RowFeatures(msgspec.json.encode(list(pipeline.features)).decode(), json.dumps(TABLES))
    rows = make_rows(rows=200, seed=seed)
    requests = make_requests(pipeline, seed=seed)
    return Scorer(features, chain(prepare, LogisticRegression())).fit(requests, (rows["delay"] > 15).astype("float64"))


def save_model(pipeline: Pipeline, scorer: Scorer, folder: Path, **metadata: Any) -> Path:
    """Write ``folder`` as MLflow's scikit-learn flavour does: MLmodel and model.skops."""
    folder.mkdir(parents=True)
    skops.io.dump(scorer, folder / "model.skops")
    request = {name: {"type": c.type, "required": c.required} for name, c in pipeline.request.columns.items()}
    facts = {"pipeline": pipeline.name, "task": "binary", "partition": "2013-01", "request": request, **metadata}
    (folder / "MLmodel").write_text(yaml.safe_dump({"metadata": {"tollgate": facts}}))
    return folder


def save_compiled(pipeline: Pipeline, scorer: Scorer, folder: Path, **facts: Any) -> Path:
    """The same with its compiled form beside it, as training leaves it; such a model is loaded in an instant."""
    save_model(pipeline, scorer, folder, scoring={"compiled": True, "reason": "", **facts})
    (folder / FILE_NAME).write_bytes(write_document(convert_scorer(scorer)))
    return folder


def point_at(folder: Path, version: str, previous: Pointer | None = None) -> Pointer:
    """Write a pointer of ``folder`` to its models/``version``, and return it."""
    pointer = Pointer(version, f"models/{version}", "2013-01", utc_now(), "a test", "because", previous)
    write_pointer(folder, pointer)
    return pointer


def ask(port: int, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
    """One request to a server on this machine: status and decoded JSON. ``body`` is encoded unless it is bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"content-type": content_type} if content is not None else {})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def wait_for(check: Any, seconds: float = 30.0) -> Any:
    """Call ``check`` until it gives something true, and return that; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            found = check()
            if found:
                return found
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


class Server:
    """A real ``python -m include.serving`` on a port of its own."""

    def __init__(self, folder: Path, *arguments: str, home: Path | None = None, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "server.log"
        port_file = folder / "port"
        port_file.unlink(missing_ok=True)
        env = {**os.environ, "TOLLGATE_HOME": str(home or folder)}
        command = [sys.executable, "-m", "include.serving", "--parent", str(os.getpid())]
        command += ["--host", "127.0.0.1", "--port", str(port), "--port-file", str(port_file), *arguments]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=env, stdout=out, stderr=out)
        self.port = int(wait_for(lambda: port_file.is_file() and port_file.read_text()))

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
        return ask(self.port, method, path, body, content_type)

    def read_metrics(self) -> dict[tuple[str, ...], float]:
        """Sample name and label values (in the order of the labels' names) to value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait_ready(self, version: str | None = None) -> dict[str, Any]:
        """Wait until /version names ``version`` (or any), and return that answer."""

        def look() -> Any:
            answer = self.ask("GET", "/version")[1]
            return answer if answer["version"] and version in (None, answer["version"]) else None

        # On a busy machine importing scikit-learn alone was seen to take 40 s.
        return dict(wait_for(look, 180))

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, home: Path | None = None, port: int = 0) -> Iterator[Server]:
    """A running server, stopped in any case."""
    server = Server(folder, *arguments, home=home, port=port)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(10)
