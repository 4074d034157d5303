"""Invariant 3: the registry's champion, the pointer and what the endpoint answers are one version, or are made one.

What customers get leads. A pointer to a blessed version that answers as it should takes the alias with it; a pointer
that is lost, damaged or names what nobody blessed is written anew. Whoever deploys or rolls back just now is left
alone. As long as all agree, MLflow is asked one short question.
"""

from __future__ import annotations

from collections.abc import Callable

from include.declaration.models import Pipeline
from include.deployment.local.deploy import name_record, read_sound_pointer, verify_deployment
from include.deployment.local.lock import hold_endpoint, is_rolling_back
from include.deployment.local.mend import find_silence, mend_files, record_served, serve_instead
from include.deployment.local.rollback import has_begun
from include.deployment.local.store import is_whole, keep_model
from include.errors import AnswersDiffer, TollgateError, TrackingUnavailable
from include.pointer import Pointer, locate_endpoint_folder, locate_model, read_withdrawal
from include.records import read_record
from include.settings import Settings
from include.steps.champion import name_champion
from include.steps.fetch import fetch_model, fetch_predictions
from include.steps.hosted_order import compare_hosted
from include.steps.housekeeping import IsAlive, tell_all
from include.steps.mendings import note_agreement, note_disagreement, note_mending
from include.steps.rollback import finish_begun, follow_rollback
from include.tracking.quick import read_champion, read_standing
from include.tracking.registry import get_version

Connect = Callable[[Pipeline], object | None]

# A worker that just swapped says so within a second.
_FOLLOW_SECONDS = 5.0
# A process that is just being restarted is no news; one that is still down five minutes later is.
_LOOKS_AT_SILENCE = 2


def reconcile_endpoints(settings: Settings, is_alive: IsAlive, connect: Connect = lambda _: None) -> str:
    """Make registry, pointer and endpoint of every pipeline agree; says what was mended, and what cannot be.

    Each mending is recorded and mailed; what takes a person is mailed once. Raises TrackingUnavailable when MLflow does
    not answer, after what needs no registry was mended all the same. ``connect`` gives what a pipeline's service is
    reached with.
    """
    away: list[TrackingUnavailable] = []

    def reconcile(pipeline: Pipeline) -> str:
        try:
            if pipeline.deployment.port_offset is None:
                return compare_hosted(settings, pipeline, connect(pipeline))
            return reconcile_pipeline(settings, pipeline, is_alive)
        except TrackingUnavailable as error:
            away.append(error)
            return ""

    told = tell_all(settings, reconcile)
    if away:
        raise away[0]
    return told


def reconcile_pipeline(settings: Settings, pipeline: Pipeline, is_alive: IsAlive) -> str:
    """One pipeline; returns what was mended and what cannot be, "" when all agree. Raises TrackingUnavailable."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    if is_rolling_back(folder):
        return ""
    told: list[str] = []
    try:
        _put_in_order(settings, pipeline, is_alive, told)
    except TrackingUnavailable:
        raise
    except TollgateError as error:
        told.append(note_disagreement(settings, pipeline, error.message, error.next_step, looks=_LOOKS_AT_SILENCE))
    return " ".join(told)


def _put_in_order(settings: Settings, pipeline: Pipeline, is_alive: IsAlive, told: list[str]) -> None:
    def note(done: str) -> None:
        if done:
            told.append(note_mending(settings, pipeline, done))

    folder = locate_endpoint_folder(settings, pipeline.name)
    if has_begun(settings, pipeline.name):
        finished = finish_begun(settings, pipeline)
        note(f"{finished.who}'s rollback to version {finished.version} had been cut short." if finished else "")
    note(mend_files(settings, pipeline))
    pointer = read_sound_pointer(folder)
    if read_withdrawal(folder) is not None:
        return
    champion = read_champion(settings, pipeline.name)
    if pointer is None and champion is None:
        return
    whole = pointer is not None and is_whole(locate_model(folder, pointer))
    if (
        pointer is not None
        and not (whole and pointer.version == champion)
        and _is_under_way(pipeline, pointer, is_alive)
    ):
        return
    if pointer is None or not whole:
        note(_bring_model(settings, pipeline, pointer, champion))
    elif pointer.version != champion:
        note(_settle(settings, pipeline, pointer, champion))
    problem, next_step, looks = _look_again(settings, pipeline)
    if problem:
        told.append(note_disagreement(settings, pipeline, problem, next_step, looks=looks))
    else:
        note_agreement(settings, pipeline)


def _is_under_way(pipeline: Pipeline, pointer: Pointer, is_alive: IsAlive) -> bool:
    """Whether the run that wrote the pointer still works: the rest is its business."""
    return pointer.by.startswith(f"{pipeline.name}.") and "/" in pointer.by and is_alive(pointer.by)


def _bring_model(settings: Settings, pipeline: Pipeline, pointer: Pointer | None, champion: str | None) -> str:
    """The pointer, or the model that it names, is gone or damaged on this machine; the registry has it."""
    number = pointer.version if pointer is not None else champion
    if number is None or read_standing(settings, pipeline.name, number) != "blessed":
        return _settle(settings, pipeline, pointer, champion) if pointer is not None else ""
    version = get_version(settings, pipeline.name, number)
    model_dir = fetch_model(settings, pipeline, version)
    folder = locate_endpoint_folder(settings, pipeline.name)
    if pointer is not None:
        with hold_endpoint(folder, pipeline.deployment.swap_seconds):
            if keep_model(folder, number, model_dir) == pointer.model_dir:
                return f"The model of version {number} was damaged on the serving machine; it was downloaded again."
    serve_instead(settings, pipeline, version, model_dir, "The pointer was lost; the registry's champion was found")
    return f"The endpoint had no usable pointer; it serves version {number} from the registry."


def _settle(settings: Settings, pipeline: Pipeline, pointer: Pointer, champion: str | None) -> str:
    """Alias and pointer name different versions: the alias follows a version that is blessed and answers as it should;
    otherwise the pointer goes to the champion. "" when neither can be."""
    standing = read_standing(settings, pipeline.name, pointer.version)
    if standing == "blessed":
        return _follow_pointer(settings, pipeline, pointer, champion)
    if champion is None or read_standing(settings, pipeline.name, champion) != "blessed":
        return ""
    version = get_version(settings, pipeline.name, champion)
    problem = f"version {pointer.version} is {standing} in the registry"
    serve_instead(settings, pipeline, version, fetch_model(settings, pipeline, version), problem.capitalize())
    return f"Customers got a version that nobody blessed ({problem}); they get the champion, version {champion}, again."


def _follow_pointer(settings: Settings, pipeline: Pipeline, pointer: Pointer, champion: str | None) -> str:
    version = get_version(settings, pipeline.name, pointer.version)
    record_served(settings, pipeline, pointer)
    try:
        verify_deployment(settings, pipeline, version, fetch_predictions(settings, pipeline, version))
    except AnswersDiffer as error:
        return f"A deployment had been cut short. {error.message}"
    record = read_record(settings, pipeline.name, "deployment", name_record(pointer)) or {}
    left, who = record.get("rolled_back_from"), record.get("who")
    if left is not None and who is not None:
        why = pointer.reason.partition(": ")[2]
        follow_rollback(settings, pipeline.name, str(left), pointer.version, str(who), why)
    else:
        name_champion(settings, pipeline.name, pointer.version, pointer.reason)
    was = f"version {champion}" if champion is not None else "none"
    return f"The registry's champion was {was}; it is version {pointer.version}, which customers get: {pointer.reason}"


def _look_again(settings: Settings, pipeline: Pipeline) -> tuple[str, str, int]:
    """What still differs, what a person does about it, and how often it must be met to be mailed; "" when nothing."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    pointer, champion = read_sound_pointer(folder), read_champion(settings, pipeline.name)
    deploy = f"Trigger {pipeline.name}.deploy_model with the version that customers should get."
    if read_withdrawal(folder) is not None:
        return "", "", 1
    if pointer is None:
        return f"There is no usable pointer, and the champion, version {champion}, cannot be served.", deploy, 1
    if pointer.version != champion:
        named = f"version {champion}" if champion else "no version"
        problem = f"The endpoint is told to serve version {pointer.version}, and the registry's champion is {named}."
        return problem, deploy, 1
    silence = find_silence(settings, pipeline, pointer, _FOLLOW_SECONDS)
    if silence:
        problem = f"The endpoint does not serve version {pointer.version}, as registry and pointer say. {silence}"
        return problem, "See its log (make logs) and that it runs (make status).", _LOOKS_AT_SILENCE
    return "", "", 1
