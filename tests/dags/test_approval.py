"""An approval is a person's: an option that nobody chose deploys nothing, whatever it says."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("person", "options", "approved", "said"),
    [
        ({"id": "7", "name": "ann"}, ["Approve"], True, "Approved by ann."),
        ({"id": "7", "name": "ann"}, ["Reject"], False, "Rejected by ann."),
        ({"id": "7", "name": "ann"}, [], False, "Rejected by ann."),
        ({"id": "7", "name": "ann"}, ["Approve", "Reject"], False, "Rejected by ann."),
        ({"id": "7", "name": ""}, ["Approve"], True, "Approved by 7."),
        (None, ["Reject"], False, "Nobody answered in time."),
        (None, ["Approve"], False, "Nobody answered in time."),
        ({"id": "", "name": ""}, ["Approve"], False, "Nobody answered in time."),
    ],
)
def test_only_a_person_who_chose_to_approve_approves(
    dag_bag: Any, person: dict[str, str] | None, options: list[str], approved: bool, said: str
) -> None:
    from tollgate_approval import read_decision

    assert read_decision({"responded_by_user": person, "chosen_options": options}) == (approved, said)


def test_silence_is_the_answer_no(dag_bag: Any) -> None:
    """What Airflow chooses when the time is over, should a default ever be read as an answer."""
    from include.declaration import Approval
    from include.declaration.loader import get_pipeline
    from include.settings import load_settings
    from tollgate_approval import build_approval

    asked = build_approval(get_pipeline(load_settings(), "flight_delays"), Approval(within="25s"))
    assert asked.defaults == ["Reject"]
    assert asked.response_timeout is not None
    assert asked.response_timeout.total_seconds() == 25
