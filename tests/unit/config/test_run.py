"""What `make run` shows of a pipeline that a service serves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.run import _ask
from include.deployment.target import Answer, TargetStatus
from include.errors import EndpointUnavailable
from tests.unit.deployment.hosted import declare_pipeline


def ask(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> tuple[str, dict[str, Any]]:
    status = TargetStatus("parcels", "sagemaker://r/e", "ready", "3", "3", True)
    target = SimpleNamespace(status=lambda: status, predict=lambda *_: answer)
    monkeypatch.setattr("config.run.open_target", lambda *_: target)
    return _ask(cast("Any", SimpleNamespace(settings=None)), declare_pipeline(), [{"weight": 1.0}])


def test_an_answer_without_a_version_is_of_the_one_that_the_service_says_it_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, told = ask(monkeypatch, Answer(200, b'{"predictions": [0.5]}', "application/json"))
    assert (url, told) == ("sagemaker://r/e", {"model_version": "3", "predictions": [0.5]})
    named = Answer(200, b'{"predictions": [0.5], "model_version": "2"}', "application/json")
    assert ask(monkeypatch, named)[1]["model_version"] == "2", "its own word counts"


def test_an_error_of_the_models_is_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EndpointUnavailable, match="500"):
        ask(monkeypatch, Answer(500, b"{}", "application/json"))
