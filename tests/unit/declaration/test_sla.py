"""SLAs as they are written down: plain words in, limits or a mistake with its place out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import Notifier, Sla
from include.declaration.sla import Limit, parse_limit, parse_limits
from include.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("30m", Limit("30m", seconds=1800.0)),
        ("90s", Limit("90s", seconds=90.0)),
        ("2 × usual", Limit("2 × usual", factor=2.0)),
        ("2x usual", Limit("2 × usual", factor=2.0)),
        ("1.5 x usual", Limit("1.5 × usual", factor=1.5)),
    ],
)
def test_a_limit_is_a_duration_or_a_multiple_of_what_is_usual(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


def test_the_form_of_before_stays_valid() -> None:
    sla = Sla(train_model="30m", deploy_model="10m")
    assert parse_limits(sla.train_model) == (Limit("30m", seconds=1800.0),)
    assert parse_limits(sla.data_refresh) == ()


def test_several_limits_stand_side_by_side() -> None:
    sla = Sla(tasks={"train_model.fit_candidate": ("2 × usual", "20m"), "deploy_model.*": "5m"})
    assert [limit.text for limit in parse_limits(sla.tasks["train_model.fit_candidate"])] == ["2 × usual", "20m"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"train_model": "soon"}, 'as a multiple of what is usual: "2 × usual"'),
        ({"train_model": "1 × usual"}, "must be above 1"),
        ({"train_model": ("30m", "-1 × usual")}, "is not a duration"),
        ({"tasks": {"train_model.fit_candidat": "5m"}}, "Did you mean 'train_model.fit_candidate'?"),
        ({"tasks": {"data_refresh.find_arrivals": "5m"}}, "no task is named 'data_refresh.find_arrivals'"),
        ({"notifiers": ({"name": "slack"},)}, "is not module:Class"),
        ({"fresh": "1d"}, "Extra inputs"),
        ({"usual_runs": 1}, "greater than or equal to 2"),
    ],
)
def test_a_mistake_is_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sla(**wrong)
    assert says in str(caught.value)
    assert caught.value.error_count() == 1, "one mistake is said once"


def test_a_notifier_is_named_with_its_arguments() -> None:
    notifier = Notifier(name="airflow.providers.smtp.notifications.smtp:SmtpNotifier", arguments={"to": "me@x.test"})
    assert notifier.arguments == {"to": "me@x.test"}


def test_the_readmes_example_is_a_declaration() -> None:
    found = re.search(r"```python\nsla ?= ?(Sla\(.*?\n\)),?\n```", (PROJECT_ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    sla = eval(found[1], {"Sla": Sla, "Notifier": Notifier})
    assert isinstance(sla, Sla)
    assert sla.refresh_to_served == "3h" and sla.notifiers[0].name.endswith(":SlackNotifier")
