"""Windows and claims: each set of versions is trained on once, by one run, and nothing validated is left out."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from include.contracts import PartitionRef, Window
from include.data import window as window_module
from include.data.trainings import lift_stop, note_stop, read_claims
from include.data.window import Superseded, choose_window, newest_partition
from include.declaration import Pipeline, Training
from include.errors import PartitionNameError, RefreshMissing
from include.settings import Settings, load_settings
from tests.unit.data.steps import publish_month
from tests.unit.factory import make_pipeline


def claim(settings: Settings, pipeline: Pipeline, partition: str, run: str) -> Window:
    chosen = choose_window(settings, pipeline, partition, run)
    assert isinstance(chosen, Window), chosen
    return chosen


def cover(settings: Settings, pipeline: Pipeline, partition: str, run: str) -> Superseded:
    chosen = choose_window(settings, pipeline, partition, run)
    assert isinstance(chosen, Superseded), chosen
    return chosen


def test_first_partition_is_a_window_of_its_own(settings: Settings, pipeline: Pipeline) -> None:
    ref = publish_month(settings, pipeline, "2013-01")
    window = claim(settings, pipeline, "2013-01", "run-1")
    assert (window.key, window.partitions) == ("2013-01", (ref,))
    ((digest, stored),) = read_claims(settings, pipeline.name).items()
    assert digest == stored["digest"] == window.digest and len(digest) == 16
    assert (stored["claimed_by"], stored["key"], stored["partitions"]) == ("run-1", "2013-01", {"2013-01": ref.version})


def test_window_expands_to_every_partition_with_the_newest_as_key(settings: Settings, pipeline: Pipeline) -> None:
    refs = tuple(publish_month(settings, pipeline, f"2013-0{month}") for month in (1, 2, 3))
    window = claim(settings, pipeline, "2013-03", "run-3")
    assert (window.key, window.partitions) == ("2013-03", refs)


def test_declared_window_keeps_only_the_last_partitions(settings: Settings) -> None:
    base = make_pipeline()
    training = Training(**{**base.training.__dict__, "window": 2})
    pipeline = make_pipeline(training=training)
    for month in (1, 2, 3):
        publish_month(settings, pipeline, f"2013-0{month}")
    window = claim(settings, pipeline, "2013-03", "run-3")
    assert [ref.partition for ref in window.partitions] == ["2013-02", "2013-03"]
    assert cover(settings, pipeline, "2013-01", "run-1").by == "2013-03", "it is in no window and changes none"


def test_retry_gets_the_same_window_even_after_newer_data(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    first = claim(settings, pipeline, "2013-01", "run-1")
    publish_month(settings, pipeline, "2013-01", seed=2)
    publish_month(settings, pipeline, "2013-02")
    assert claim(settings, pipeline, "2013-01", "run-1") == first
    assert len(read_claims(settings, pipeline.name)) == 1


def test_second_run_on_the_same_versions_is_superseded_by_the_first(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    claim(settings, pipeline, "2013-01", "run-1")
    covered = cover(settings, pipeline, "2013-01", "run-2")
    assert covered.by == "2013-01"
    assert covered.reason == "already trained on exactly these versions by run-1"


def test_older_key_leaves_the_training_to_the_newest(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    publish_month(settings, pipeline, "2013-02")
    covered = cover(settings, pipeline, "2013-01", "run-1")
    assert covered.by == "2013-02" and "will train on all of them" in covered.reason
    assert [ref.partition for ref in claim(settings, pipeline, "2013-02", "run-2").partitions] == ["2013-01", "2013-02"]


def test_older_key_that_a_claimed_training_covers_is_superseded_by_it(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    claim(settings, pipeline, "2013-01", "run-1")
    publish_month(settings, pipeline, "2013-02")
    claim(settings, pipeline, "2013-02", "run-2")
    publish_month(settings, pipeline, "2013-02", seed=2)
    claim(settings, pipeline, "2013-02", "run-2b")
    assert cover(settings, pipeline, "2013-01", "run-1b").by == "2013-02"


def test_correction_of_an_old_partition_trains_on_the_full_window(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    newest = publish_month(settings, pipeline, "2013-02")
    old = claim(settings, pipeline, "2013-02", "run-2")
    corrected = publish_month(settings, pipeline, "2013-01", seed=2)
    window = claim(settings, pipeline, "2013-01", "run-1b")
    assert (window.key, window.partitions) == ("2013-02", (corrected, newest))
    assert window.digest != old.digest


def test_late_run_of_a_covered_partition_leaves_a_correction_to_its_own_run(
    settings: Settings, pipeline: Pipeline
) -> None:
    for month in (1, 2, 3):
        publish_month(settings, pipeline, f"2013-0{month}")
    claim(settings, pipeline, "2013-03", "run-3")
    corrected = publish_month(settings, pipeline, "2013-02", seed=2)
    covered = cover(settings, pipeline, "2013-01", "run-1")
    assert (covered.by, covered.reason) == ("2013-03", "the training of 2013-03 by run-3 used it")
    assert claim(settings, pipeline, "2013-02", "run-2b").partitions[1] == corrected


def test_going_back_to_an_old_content_trains_on_it_again(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01", seed=1)
    publish_month(settings, pipeline, "2013-02")
    claim(settings, pipeline, "2013-02", "run-2")
    publish_month(settings, pipeline, "2013-01", seed=2)
    claim(settings, pipeline, "2013-01", "run-1b")
    publish_month(settings, pipeline, "2013-03")
    claim(settings, pipeline, "2013-03", "run-3")
    first = publish_month(settings, pipeline, "2013-01", seed=1)
    assert claim(settings, pipeline, "2013-01", "run-1c").partitions[0] == first


@pytest.mark.parametrize("changed", ["2013-01", "2013-02"])
def test_going_back_at_once_trains_on_it_again_and_once(settings: Settings, pipeline: Pipeline, changed: str) -> None:
    """S4 with nothing else published in between: customers must not keep a model of the content that was withdrawn."""
    for month in ("2013-01", "2013-02"):
        publish_month(settings, pipeline, month, seed=1)
    first = claim(settings, pipeline, "2013-02", "run-a")
    windows = [first]
    for number, seed in enumerate((2, 1, 2, 1)):
        publish_month(settings, pipeline, changed, seed=seed)
        windows.append(claim(settings, pipeline, changed, f"run-{number}"))
        covered = cover(settings, pipeline, changed, f"late-{number}")
        assert covered.reason == f"already trained on exactly these versions by run-{number}"
    assert [window.digest == first.digest for window in windows] == [True, False, True, False, True]
    assert windows[-1] == windows[2] == first
    assert [stored["claimed_by"] for stored in read_claims(settings, pipeline.name).values()][-1] == "run-3"
    assert claim(settings, pipeline, changed, "run-1") == first, "a retry goes on"


def test_a_training_that_was_stopped_is_made_by_another_run(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    publish_month(settings, pipeline, "2013-02")
    window = claim(settings, pipeline, "2013-02", "dag/run-1")
    asked_before = datetime.now(UTC)
    time.sleep(0.01)
    note_stop(settings, pipeline.name, "dag/run-1", "Features 2013-02 were blocked.")
    late = choose_window(settings, pipeline, "2013-01", "dag/run-2", asked_at=asked_before)
    assert isinstance(late, Superseded)
    assert late.reason.startswith("its training by dag/run-1 was stopped (Features 2013-02 were blocked);")
    asked_after = choose_window(settings, pipeline, "2013-01", "dag/run-3", asked_at=datetime.now(UTC))
    assert asked_after == window
    assert cover(settings, pipeline, "2013-01", "dag/run-4").reason.endswith("by dag/run-3")
    note_stop(settings, pipeline.name, "dag/run-3", "MLflow did not answer.")
    assert claim(settings, pipeline, "2013-02", "dag/run-5") == window
    stops = {stored["claimed_by"]: stored["stop"] for stored in read_claims(settings, pipeline.name).values()}
    assert [(by, stop["reason"] if stop else None) for by, stop in stops.items()] == [
        ("dag/run-1", "Features 2013-02 were blocked."),
        ("dag/run-3", "MLflow did not answer."),
        ("dag/run-5", None),
    ]
    assert stops["dag/run-1"]["window_digest"] == window.digest
    assert stops["dag/run-1"]["run_url"].endswith("/dags/dag/runs/run-1")


def test_a_run_that_was_stopped_and_works_again_keeps_its_claim(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    window = claim(settings, pipeline, "2013-01", "dag/run-1")
    note_stop(settings, pipeline.name, "dag/run-1", "MLflow did not answer.")
    assert claim(settings, pipeline, "2013-01", "dag/run-1") == window
    assert cover(settings, pipeline, "2013-01", "dag/run-2").reason.endswith("by dag/run-1")


def test_a_training_by_hand_that_was_stopped_takes_nothing_from_the_one_before(
    settings: Settings, pipeline: Pipeline
) -> None:
    publish_month(settings, pipeline, "2013-01")
    claim(settings, pipeline, "2013-01", "dag/run-1")
    ask_by_hand(settings, pipeline, "2013-01", "dag/manual")
    note_stop(settings, pipeline.name, "dag/manual", "The features were blocked.")
    assert cover(settings, pipeline, "2013-01", "dag/run-2").reason.endswith("by dag/run-1")
    lift_stop(settings, pipeline.name, "dag/manual")
    assert cover(settings, pipeline, "2013-01", "dag/run-2").reason.endswith("by dag/manual")


def test_correction_of_the_newest_partition_is_a_new_window(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    old = claim(settings, pipeline, "2013-01", "run-1")
    publish_month(settings, pipeline, "2013-01", seed=2)
    assert claim(settings, pipeline, "2013-01", "run-1b").digest != old.digest


def test_backfilled_old_partition_joins_the_window(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-03")
    claim(settings, pipeline, "2013-03", "run-3")
    publish_month(settings, pipeline, "2013-01")
    publish_month(settings, pipeline, "2013-02")
    window = claim(settings, pipeline, "2013-02", "run-2")
    assert [ref.partition for ref in window.partitions] == ["2013-01", "2013-02", "2013-03"]
    assert cover(settings, pipeline, "2013-01", "run-1").by == "2013-03"


def ask_by_hand(settings: Settings, pipeline: Pipeline, partition: str, run: str) -> Window:
    chosen = choose_window(settings, pipeline, partition, run, by_hand=True)
    assert isinstance(chosen, Window), chosen
    return chosen


def test_who_asks_by_hand_gets_a_training_of_what_was_trained_on_before(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    first = claim(settings, pipeline, "2013-01", "dag/run-1")
    again = ask_by_hand(settings, pipeline, "2013-01", "dag/manual__2013-02-01T00:00:00+00:00_x")
    assert again == first
    assert ask_by_hand(settings, pipeline, "2013-01", "dag/manual-2") == first
    claims = read_claims(settings, pipeline.name)
    assert [stored["digest"] for stored in claims.values()] == [first.digest] * 3
    assert len({stored["claimed_by"] for stored in claims.values()}) == 3


def test_a_retry_of_a_training_by_hand_goes_on_with_its_window(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01")
    claim(settings, pipeline, "2013-01", "run-1")
    asked = ask_by_hand(settings, pipeline, "2013-01", "manual")
    publish_month(settings, pipeline, "2013-02")
    assert ask_by_hand(settings, pipeline, "2013-01", "manual") == asked
    assert len(read_claims(settings, pipeline.name)) == 2


def test_an_older_partition_named_by_hand_is_trained_for_as_when_it_was_the_newest(
    settings: Settings, pipeline: Pipeline
) -> None:
    refs = [publish_month(settings, pipeline, f"2013-0{month}") for month in (1, 2, 3)]
    claim(settings, pipeline, "2013-03", "run-3")
    window = ask_by_hand(settings, pipeline, "2013-02", "manual")
    assert (window.key, list(window.partitions)) == ("2013-02", refs[:2])


def test_a_training_by_hand_up_to_a_correction_leaves_the_full_window_to_the_corrections_own_run(
    settings: Settings, pipeline: Pipeline
) -> None:
    publish_month(settings, pipeline, "2013-01")
    newest = publish_month(settings, pipeline, "2013-02")
    claim(settings, pipeline, "2013-02", "run-2")
    corrected = publish_month(settings, pipeline, "2013-01", seed=2)
    assert ask_by_hand(settings, pipeline, "2013-01", "manual").partitions == (corrected,)
    assert claim(settings, pipeline, "2013-01", "run-1b").partitions == (corrected, newest)


def test_a_correction_is_trained_on_when_only_a_person_trained_on_the_newest_partition(
    settings: Settings, pipeline: Pipeline
) -> None:
    publish_month(settings, pipeline, "2013-01")
    publish_month(settings, pipeline, "2013-02")
    ask_by_hand(settings, pipeline, "2013-02", "manual")
    assert cover(settings, pipeline, "2013-02", "run-2").by == "2013-02"
    corrected = publish_month(settings, pipeline, "2013-01", seed=2)
    assert claim(settings, pipeline, "2013-01", "run-1b").partitions[0] == corrected


def test_the_run_of_a_refresh_leaves_it_to_a_training_by_hand_of_the_same_versions(
    settings: Settings, pipeline: Pipeline
) -> None:
    publish_month(settings, pipeline, "2013-01")
    ask_by_hand(settings, pipeline, "2013-01", "manual")
    assert cover(settings, pipeline, "2013-01", "run-1").reason == "already trained on exactly these versions by manual"


@pytest.mark.parametrize("partition", ["../2013-01", "2013-1", "2012-01"])
def test_unusable_partition_name_is_refused(settings: Settings, pipeline: Pipeline, partition: str) -> None:
    with pytest.raises(PartitionNameError):
        choose_window(settings, pipeline, partition, "run-1")


def test_partition_that_is_not_published_cannot_be_trained_on(settings: Settings, pipeline: Pipeline) -> None:
    with pytest.raises(RefreshMissing, match="nothing is published yet"):
        newest_partition(settings, pipeline)
    with pytest.raises(RefreshMissing, match="it is not published"):
        choose_window(settings, pipeline, "2013-01", "run-1")
    publish_month(settings, pipeline, "2013-01")
    with pytest.raises(RefreshMissing):
        choose_window(settings, pipeline, "2013-02", "run-2")
    assert newest_partition(settings, pipeline) == "2013-01"
    assert read_claims(settings, pipeline.name) == {}


def test_claimed_version_that_is_gone_is_named(settings: Settings, pipeline: Pipeline) -> None:
    ref = publish_month(settings, pipeline, "2013-01")
    claim(settings, pipeline, "2013-01", "run-1")
    shutil.rmtree(Path(ref.path).parent)
    with pytest.raises(RefreshMissing, match=f"version {ref.version}, claimed by run-1, is gone"):
        choose_window(settings, pipeline, "2013-01", "run-1")


def _compete(home: str, number: int, gate: Any, results: Any) -> None:
    settings = load_settings({"TOLLGATE_HOME": home})
    gate.wait()
    chosen = choose_window(settings, make_pipeline(), "2013-01", f"run-{number}")
    results.put((number, isinstance(chosen, Window)))


@pytest.mark.parametrize("stopped", [False, True])
def test_of_two_processes_exactly_one_gets_the_window(settings: Settings, pipeline: Pipeline, stopped: bool) -> None:
    """Nobody's yet, or one that was claimed before."""
    publish_month(settings, pipeline, "2013-01")
    context = multiprocessing.get_context("fork")
    for round_ in range(5):
        shutil.rmtree(settings.records_root, ignore_errors=True)
        if stopped:
            claim(settings, pipeline, "2013-01", "run-0")
            note_stop(settings, pipeline.name, "run-0", "It was killed.")
        gate, results = context.Barrier(2), context.Queue()
        runs = [context.Process(target=_compete, args=(str(settings.home), number, gate, results)) for number in (1, 2)]
        for run in runs:
            run.start()
        outcome = dict(results.get(timeout=20) for _ in runs)
        for run in runs:
            run.join(20)
        assert sorted(outcome.values()) == [False, True], f"round {round_}: {outcome}"
        *_, stored = read_claims(settings, pipeline.name).values()
        assert len(read_claims(settings, pipeline.name)) == 1 + stopped
        winner = next(number for number, won in outcome.items() if won)
        assert stored["claimed_by"] == f"run-{winner}"


@pytest.mark.parametrize("winner", ["run-1", "run-2"])
def test_claim_that_appears_between_looking_and_claiming_decides(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, winner: str
) -> None:
    """The narrow race: both saw no claim. The loser is superseded; the same run twice (a zombie try) shares it."""
    publish_month(settings, pipeline, "2013-01")
    with monkeypatch.context() as patched:
        patched.setattr(window_module, "read_claims", lambda *_: {})
        claim(settings, pipeline, "2013-01", winner)
        chosen = choose_window(settings, pipeline, "2013-01", "run-1")
    assert isinstance(chosen, Window if winner == "run-1" else Superseded)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["2013-01", "2013-02", "2013-03"]), min_size=1, max_size=6), st.randoms())
def test_what_was_trained_on_last_is_what_is_published_whatever_order_the_runs_come_in(
    tmp_path_factory: pytest.TempPathFactory, landed: list[str], random: Any
) -> None:
    """Versions land in any order, new ones and such as were there before, each with one run, and the runs come in any
    order after their publication; now and then somebody asks by hand.

    When all have run, the latest training of a full window used the current version of every partition, and no run of
    a refresh repeated the training before it.
    """
    settings = load_settings({"TOLLGATE_HOME": str(tmp_path_factory.mktemp("home"))})
    pipeline = make_pipeline()
    published: dict[str, PartitionRef] = {}
    counter = itertools.count()

    def list_published(*_: Any) -> list[PartitionRef]:
        return [published[name] for name in sorted(published)]

    waiting: list[str] = []
    trained: list[Window] = []
    versions: dict[str, list[str]] = {}

    def run_one() -> None:
        partition = waiting.pop(random.randrange(len(waiting)))
        chosen = choose_window(settings, pipeline, partition, f"run-{next(counter)}")
        if isinstance(chosen, Window):
            assert not trained or trained[-1] != chosen
            trained.append(chosen)

    def ask_one() -> None:
        partition = random.choice(sorted(published))
        window = ask_by_hand(settings, pipeline, partition, f"manual-{next(counter)}")
        assert window.key == partition
        if partition == max(published):
            trained.append(window)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(window_module, "list_partitions", list_published)
        # Real runs take seconds; here two may claim in the same millisecond, which leaves open who was first.
        patched.setattr("include.records.utc_now", lambda: f"2026-{next(counter):06d}")
        for partition in landed:
            known = versions.setdefault(partition, [])
            version = random.choice([f"v{next(counter)}", *known])
            known.append(version)
            published[partition] = PartitionRef(
                "parcels", partition, version, version, "", 1, 0, "pass", "r", "", "", "2026"
            )
            waiting.append(partition)
            for _ in range(3):
                what = random.choice(["nothing", "a run", "a person"])
                if what == "a person":
                    ask_one()
                elif what == "a run" and waiting:
                    run_one()
        while waiting:
            run_one()
    assert list(trained[-1].partitions) == list_published()
