"""What a prediction may be: clipped, refused, counted and shown; and a model without readable rules is not served."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import Deployment, Pipeline, PredictionRule
from include.deployment.local.replay import StoredRows, clip_scores
from include.errors import ModelUnusable
from include.scoring.scorer import Scorer
from include.serving.model import load_model
from include.serving.prediction_rules import (
    NOT_FINITE,
    PredictionRules,
    RuleBroken,
    enforce_rules,
    read_names,
    read_rules,
    write_names,
)
from tests.unit.served_models import make_requests, save_compiled, save_model
from tests.unit.serving.local_server import ROW, make_model, serve_locally

CLIP = {"name": "clipped", "minimum": 0.2, "maximum": 0.8, "action": "clip"}
REFUSE = {"name": "refused", "maximum": 0.7, "action": "refuse"}
CHAMPION = {"name": "stood_in", "minimum": 0.1}


def make_rules(*rules: dict[str, Any]) -> PredictionRules:
    return read_rules({"prediction_rules": rules})


def make_guarded(answer: float, *rules: dict[str, Any], inline_bytes: int = 1 << 14) -> Any:
    model = make_model(lambda request: [answer] * request.rows, inline_bytes=inline_bytes)
    return replace(model, rules=make_rules(*rules))


def test_clipping_moves_only_what_is_beyond_and_says_which_rule_did() -> None:
    rules = make_rules(CLIP)
    assert rules.enforce([0.2, 0.5, 0.8]) == ([0.2, 0.5, 0.8], ())
    assert rules.enforce([0.1, 0.5, 0.9]) == ([0.2, 0.5, 0.8], ("clipped",))
    assert make_rules({**CLIP, "minimum": None}).enforce([-5.0, 0.9]) == ([-5.0, 0.8], ("clipped",))
    assert make_rules().enforce([-5.0, 7.0]) == ([-5.0, 7.0], ())


def test_rules_hold_in_their_order_so_a_later_one_sees_what_was_clipped() -> None:
    clip_first = make_rules({**CLIP, "maximum": 0.6}, REFUSE)
    assert clip_first.enforce([0.9]) == ([0.6], ("clipped",))
    with pytest.raises(RuleBroken, match="refused"):
        make_rules(REFUSE, {**CLIP, "maximum": 0.6}).enforce([0.9])


@pytest.mark.parametrize(
    "predictions, broken",
    [
        ([0.5, math.nan], NOT_FINITE),
        ([math.nan, 0.05], NOT_FINITE),
        ([math.inf], NOT_FINITE),
        ([], NOT_FINITE),
        ([0.05], "stood_in"),
        ([0.75, 0.5], "refused"),
        ([0.05, 0.75], "refused"),
    ],
)
def test_of_another_processs_answer_the_first_broken_rule_is_named_and_a_broken_number_always_is_one(
    predictions: list[float], broken: str
) -> None:
    with pytest.raises(RuleBroken) as caught:
        enforce_rules(predictions, make_rules(REFUSE, CHAMPION))
    assert caught.value.rule == broken
    if broken == NOT_FINITE:
        with pytest.raises(RuleBroken, match=NOT_FINITE):
            enforce_rules(predictions, make_rules())


def test_another_processs_answer_is_clipped_as_an_own_one_is() -> None:
    assert enforce_rules([0.5], make_rules(REFUSE, CHAMPION)) == ([0.5], ())
    assert enforce_rules([0.05, 0.95], make_rules(CLIP)) == ([0.2, 0.8], ("clipped",))


@pytest.mark.parametrize("names", [("never_certain",), ("a", "b"), ("é ☃", "line\r\nbreak: x", '"', "")])
def test_names_of_rules_pass_through_a_header(names: tuple[str, ...]) -> None:
    value = write_names(names)
    assert value.isascii()
    assert not {10, 13} & set(value)
    assert read_names(value) == names


@pytest.mark.parametrize("value", [b"", b"never_certain", b"[1]", b"{}", b"\xff", b"[" * 100_000, b'["\\ud800"]'])
def test_what_names_no_rules_names_none(value: bytes) -> None:
    assert read_names(value) == ()


def test_names_without_end_are_cut() -> None:
    assert len(read_names(write_names([f"{number}" for number in range(100_000)]))) == 64


@pytest.mark.parametrize("inline_bytes", [0, 1 << 14], ids=["thread", "inline"])
@pytest.mark.parametrize("rule", [REFUSE, {**CHAMPION, "minimum": 0.95}], ids=["refuse", "champion"])
def test_a_refused_answer_is_a_500_that_names_the_rule_and_nothing_of_the_request(
    rule: dict[str, Any], inline_bytes: int
) -> None:
    with serve_locally(make_guarded(0.9, rule, inline_bytes=inline_bytes)) as local:
        body = {"instances": [{"hour": 1, "carrier": "a secret"}]}
        replies = [local.ask(body=body) for _ in range(3)]
        version = local.ask("/version").body
        metrics = local.read_metrics()
    for reply in replies:
        assert (reply.status, reply.body["error_code"]) == (500, "PREDICTION_REFUSED")
        assert reply.headers["x-model-version"] == "7"
        assert rule["name"] in reply.body["message"]
        assert "secret" not in reply.content.decode()
        assert "0.9" not in reply.content.decode()
    assert metrics["tollgate_prediction_rules_total", "7", rule["name"]] == 3
    assert metrics["tollgate_errors_total", "PREDICTION_REFUSED"] == 3
    assert [(each["name"], each["answers"]) for each in version["prediction_rules"]] == [(rule["name"], 3)]


def test_a_clipped_answer_is_given_counted_and_described() -> None:
    with serve_locally(make_guarded(0.9, CLIP, {**REFUSE, "maximum": 0.85})) as local:
        assert local.ask(body=ROW).body["predictions"] == [0.8]
        assert local.ask(body={"inputs": {"hour": [1, 2]}}).body["predictions"] == [0.8, 0.8]
        version = local.ask("/version").body["prediction_rules"]
        predictions = local.ask("/openapi.json").body["components"]["schemas"]["Predictions"]
        page = local.ask("/docs").content.decode()
        metrics = local.read_metrics()
    assert metrics["tollgate_prediction_rules_total", "7", "clipped"] == 2
    assert ("tollgate_prediction_rules_total", "7", "refused") not in metrics
    assert version == [
        {**CLIP, "bounds": "from 0.2 to 0.8", "answers": 2},
        {**REFUSE, "minimum": None, "maximum": 0.85, "bounds": "at most 0.85", "answers": 0},
    ]
    assert predictions["properties"]["predictions"]["items"] == {"type": "number", "minimum": 0.2, "maximum": 0.8}
    assert "from 0.2 to 0.8" in page
    assert "moved to the bound" in page


def test_only_a_candidates_process_tells_in_its_headers_which_rules_moved_or_refused_an_answer() -> None:
    with serve_locally(make_guarded(0.9, CLIP)) as local:
        assert "x-prediction-rules" not in local.ask(body=ROW).headers
        local.endpoint.is_candidate = True
        assert local.ask(body=ROW).headers["x-prediction-rules"] == '["clipped"]'
        local.endpoint.take(make_guarded(0.9, REFUSE), None)
        refused = local.ask(body=ROW)
        assert (refused.status, refused.headers["x-prediction-rules"]) == (500, '["refused"]')
        local.endpoint.take(make_guarded(0.5, CLIP, REFUSE), None)
        assert "x-prediction-rules" not in local.ask(body=ROW).headers


def test_another_versions_rules_and_counts_are_its_own() -> None:
    with serve_locally(make_guarded(0.9, CLIP)) as local:
        local.ask(body=ROW)
        local.endpoint.take(replace(make_guarded(0.9, CLIP), version="8"), None)
        assert [each["answers"] for each in local.ask("/version").body["prediction_rules"]] == [0]
        local.endpoint.take(make_model(lambda request: [0.9] * request.rows, version="9"), None)
        assert local.ask(body=ROW).body["predictions"] == [0.9]


@pytest.mark.parametrize(
    "rules",
    [
        "at most 1",
        [{"name": "no_bounds"}],
        [{"name": "a", "maximum": "high"}],
        [{"name": "a", "maximum": float("nan")}],
        [{"name": "a", "minimum": 0.5, "maximum": 0.4}],
        [{"name": "a", "maximum": 0.5, "action": "ignore"}],
        [{"name": "a", "maximum": 0.5, "severity": "low"}],
        [{"name": "a", "maximum": 0.5}, {"name": "a", "maximum": 0.6}],
        [{"name": "a", "maximum": 0.5}, {"name": "b", "minimum": 0.6}],
    ],
)
def test_a_model_whose_rules_cannot_be_read_is_not_served(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path, rules: Any
) -> None:
    folder = save_model(pipeline, scorer, tmp_path / "m", prediction_rules=rules)
    with pytest.raises(ModelUnusable, match="prediction rules"):
        load_model(folder)


def test_a_model_that_breaks_its_rule_on_its_own_example_is_not_served(
    pipeline: Pipeline, scorer: Scorer, tmp_path: Path
) -> None:
    rules = [{"name": "impossibly_low", "maximum": 1e-9, "action": "champion"}]
    folder = save_compiled(pipeline, scorer, tmp_path / "m")
    example = make_requests(pipeline, 3).to_json(orient="split", index=False)
    for path, facts in ((folder, {}), (tmp_path / "guarded", {"prediction_rules": rules})):
        if not path.exists():
            save_model(pipeline, scorer, path, **facts)
        (path / "serving_input_example.json").write_text(f'{{"dataframe_split": {example}}}')
    load_model(folder)
    with pytest.raises(ModelUnusable, match="impossibly_low"):
        load_model(tmp_path / "guarded")
    (tmp_path / "guarded" / "serving_input_example.json").unlink()
    assert load_model(tmp_path / "guarded").rules.rules[0].name == "impossibly_low", "a made-up row proves nothing"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"name": "a"}, "minimum, a maximum or both"),
        ({"name": "a", "minimum": 0.5, "maximum": 0.4}, "above the maximum"),
        ({"name": "a", "maximum": float("nan")}, "finite"),
        ({"name": "a", "minimum": float("-inf")}, "finite"),
        ({"name": "a", "minimum": 1.5}, "no probability"),
        ({"name": "a", "maximum": -0.5}, "no probability"),
        ({"name": "not_finite", "maximum": 0.5}, "every pipeline has already"),
        ({"name": "a", "maximum": 0.5, "action": "warn"}, "clip"),
    ],
)
def test_a_declared_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PredictionRule(**wrong)


@pytest.mark.parametrize("names, message", [(("a", "a"), "same name"), (("a", "b"), "no prediction could keep")])
def test_declared_rules_that_contradict_each_other_are_refused(names: tuple[str, str], message: str) -> None:
    rules = (PredictionRule(name=names[0], maximum=0.4), PredictionRule(name=names[1], minimum=0.5))
    with pytest.raises(ValidationError, match=message):
        Deployment(prediction_rules=rules)


def test_stored_scores_are_clipped_as_the_versions_own_answers_are() -> None:
    import pandas as pd

    stored = StoredRows(pd.DataFrame({"hour": [1.0, 2.0, 3.0]}), [0.1, 0.5, 0.95])
    rules = make_rules(CLIP, REFUSE).describe(lambda _name: 0)
    assert clip_scores(stored, rules).scores == [0.2, 0.5, 0.8]
    assert clip_scores(stored, []).scores == stored.scores
    assert math.isnan(clip_scores(replace(stored, scores=[math.nan]), rules).scores[0])
