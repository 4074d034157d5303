"""Errors: they say what to do next, keep their facts, and know whether a retry can help."""

from __future__ import annotations

import copy
import pickle

import pytest

from include import errors
from include.errors import RefreshMissing, TerminalError, TollgateError, TransientError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TollgateError)]


def test_message_ends_with_the_next_step_and_facts_are_attributes() -> None:
    error = RefreshMissing("2013-05 is not there.", next_step="Land it.", partition="2013-05", landing="/l")
    assert str(error) == "2013-05 is not there. Land it."
    assert (error.partition, error.landing, error.facts) == ("2013-05", "/l", {"partition": "2013-05", "landing": "/l"})


def test_fact_that_was_not_given_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="TerminalError has no fact 'partition'"):
        _ = TerminalError("m", next_step="n").partition


def test_error_crosses_a_process_boundary_whole() -> None:
    error = RefreshMissing("It is not there.", next_step="Land it.", partition="2013-05")
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is RefreshMissing
        assert (str(again), again.next_step, again.facts) == (str(error), "Land it.", {"partition": "2013-05"})


def test_error_without_facts_yet_does_not_recurse_for_ever() -> None:
    """Unpickling may ask an empty instance for its attributes."""
    with pytest.raises(AttributeError):
        _ = TerminalError.__new__(TerminalError).partition


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_either_terminal_or_transient_and_says_what_it_means(kind: type[TollgateError]) -> None:
    assert (kind.__doc__ or "").strip()
    if kind is TollgateError:
        return
    assert issubclass(kind, TerminalError) != issubclass(kind, TransientError)
    assert kind.retryable is issubclass(kind, TransientError)
