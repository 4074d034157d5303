"""The registry: one version per blessed run, the aliases challenger and champion, and who was champion before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from include.contracts import Blessing, ModelVersion, TrainingSet
from include.declaration import Pipeline
from include.describe import describe_blessing
from include.errors import NotBlessed, TrackingConflict
from include.records import utc_now
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.models import MODEL_SHA_TAG, MODEL_URI_TAG, SCORING_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Entry

CHAMPION = "champion"
CHALLENGER = "challenger"
BLESSING_TAG = "tollgate.blessing"
PREVIOUS_TAG = "tollgate.previous_champion"
# The column of MLflow's PostgreSQL and MySQL stores is this long.
DESCRIPTION_LENGTH = 5000


def _is_missing(error: Exception) -> bool:
    # MLflow says "missing alias" with INVALID_PARAMETER_VALUE, and "missing model or version" with the other code.
    code = getattr(error, "error_code", "")
    return code == "RESOURCE_DOES_NOT_EXIST" or (code == "INVALID_PARAMETER_VALUE" and "not found" in str(error))


def _to_contract(entry: Entry) -> ModelVersion:
    return ModelVersion(
        pipeline=entry.name,
        version=str(entry.version),
        run_id=entry.run_id or "",
        # MLflow's SQL store forgets which logged model a version was made from; our tag does not.
        model_uri=entry.tags.get(MODEL_URI_TAG, f"models:/{entry.name}/{entry.version}"),
        partition=entry.tags.get("tollgate.partition", ""),
        training_set_digest=entry.tags.get("tollgate.training_set", ""),
    )


def _ensure_registered_model(client: MlflowClient, pipeline: Pipeline) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(pipeline.name, description=pipeline.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _list_entries(client: MlflowClient, name: str, filter_text: str = "") -> list[Entry]:
    found: list[Entry] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'{filter_text}", max_results=500, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda entry: int(entry.version))


def register_version(
    settings: Settings,
    pipeline: Pipeline,
    blessing: Blessing,
    training_set: TrainingSet,
    tags: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Register the blessed candidate, or adopt the version that an earlier try registered, and return it.

    Its description is the blessing for a person, its tags the blessing for a search. Raises NotBlessed for a refused
    candidate and TrackingConflict when its logged model is not signed off.
    """
    if not blessing.blessed:
        raise NotBlessed(
            f"The candidate {blessing.candidate} of {blessing.partition} was not blessed; it is not registered.",
            next_step="Read its blessing for the reasons.",
            pipeline=pipeline.name,
            run_id=blessing.candidate_run_id,
        )
    with open_client(settings) as client:
        model = client.get_logged_model(blessing.candidate_model_uri.removeprefix("models:/"))
        if MODEL_SHA_TAG not in model.tags:
            raise TrackingConflict(
                f"{blessing.candidate_model_uri} carries no SHA-256 of its file.",
                next_step="Log it again with include.tracking.models.log_scorer.",
                model_uri=blessing.candidate_model_uri,
            )
        passed = sum(check.status == "pass" for check in blessing.checks)
        not_evaluated = sum(check.status == "not_evaluated" for check in blessing.checks)
        wanted = {
            BLESSING_TAG: "blessed",
            "tollgate.candidate": blessing.candidate,
            "tollgate.partition": blessing.partition,
            "tollgate.training_set": training_set.digest,
            "tollgate.window": blessing.window_digest,
            "tollgate.compared_with": blessing.champion_version or "none",
            "tollgate.checks": f"{passed} passed, {not_evaluated} not evaluated, {len(blessing.checks)} in all",
            MODEL_SHA_TAG: model.tags[MODEL_SHA_TAG],
            SCORING_TAG: model.tags.get(SCORING_TAG, "pipeline"),
            MODEL_URI_TAG: blessing.candidate_model_uri,
            **(tags or {}),
        }
        description = describe_blessing(blessing)[:DESCRIPTION_LENGTH]
        _ensure_registered_model(client, pipeline)
        same_run = f" and run_id = '{blessing.candidate_run_id}'"
        entries = _list_entries(client, pipeline.name, same_run)
        if not entries:
            # One request, so that there is never a version without its verdict.
            client.create_model_version(
                pipeline.name,
                model.artifact_location,
                run_id=blessing.candidate_run_id,
                tags=wanted,
                description=description,
                model_id=model.model_id,
            )
            # Looked for again: MLflow's client repeats a request whose answer was lost, which makes a second version.
            entries = _list_entries(client, pipeline.name, same_run)
        entry, *doubles = entries
        for double in doubles:
            client.delete_model_version(pipeline.name, double.version)
        if entry.description != description:
            client.update_model_version(pipeline.name, entry.version, description)
        for name, value in wanted.items():
            if entry.tags.get(name) != value:
                client.set_model_version_tag(pipeline.name, entry.version, name, value)
        return _to_contract(client.get_model_version(pipeline.name, entry.version))


def get_entry(client: MlflowClient, pipeline_name: str, version: str) -> Entry:
    """The version as MLflow has it. Raises TrackingConflict when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(pipeline_name, version)
    except MlflowException as error:
        if not _is_missing(error):
            raise
        raise TrackingConflict(
            f"{pipeline_name} has no registered version {version!r}.",
            next_step="Name a version that MLflow's registry shows.",
            pipeline=pipeline_name,
            version=version,
        ) from error


def get_version(settings: Settings, pipeline_name: str, version: str) -> ModelVersion:
    """The registered version. Raises TrackingConflict when there is none."""
    with open_client(settings) as client:
        return _to_contract(get_entry(client, pipeline_name, version))


def resolve_version(settings: Settings, pipeline_name: str, model_uri: str) -> str:
    """The number of the pipeline's version that ``models:/<pipeline>/<number>`` or ``…@<alias>`` names.

    Raises TrackingConflict for another model's, or when there is none.
    """
    named = model_uri.removeprefix("models:/")
    name, _, number = named.rpartition("/")
    alias = ""
    if not name:
        name, _, alias = named.partition("@")
    if name != pipeline_name or not (alias or number):
        raise TrackingConflict(
            f"{model_uri!r} names no version of {pipeline_name}.",
            next_step=f"Write models:/{pipeline_name}/<version> or models:/{pipeline_name}@challenger.",
            pipeline=pipeline_name,
            model_uri=model_uri,
        )
    if not alias:
        return get_version(settings, pipeline_name, number).version
    found = _find_alias(settings, pipeline_name, alias)
    if found is None:
        raise TrackingConflict(
            f"{pipeline_name} has no {alias}.",
            next_step="Name a version by its number.",
            pipeline=pipeline_name,
            model_uri=model_uri,
        )
    return found.version


def list_versions(settings: Settings, pipeline_name: str) -> list[ModelVersion]:
    """Every registered version of the pipeline, oldest first; none when nothing was registered yet."""
    with open_client(settings) as client:
        return [_to_contract(entry) for entry in _list_entries(client, pipeline_name)]


def get_by_alias(client: MlflowClient, pipeline_name: str, alias: str) -> Entry | None:
    """The version that an alias names, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(pipeline_name, alias)
    except MlflowException as error:
        if _is_missing(error):
            return None
        raise


def _find_alias(settings: Settings, pipeline_name: str, alias: str) -> ModelVersion | None:
    with open_client(settings) as client:
        entry = get_by_alias(client, pipeline_name, alias)
        return _to_contract(entry) if entry else None


def get_champion(settings: Settings, pipeline_name: str) -> ModelVersion | None:
    """The version that customers get, or None when there was none yet."""
    return _find_alias(settings, pipeline_name, CHAMPION)


def get_challenger(settings: Settings, pipeline_name: str) -> ModelVersion | None:
    """The newest blessed version that is not champion yet, or None."""
    return _find_alias(settings, pipeline_name, CHALLENGER)


def get_previous_champion(settings: Settings, pipeline_name: str) -> ModelVersion | None:
    """The version that was champion before the present one, or None."""
    from mlflow.exceptions import MlflowException

    with open_client(settings) as client:
        try:
            number = client.get_registered_model(pipeline_name).tags.get(PREVIOUS_TAG)
            return _to_contract(client.get_model_version(pipeline_name, number)) if number else None
        except MlflowException as error:
            if _is_missing(error):
                return None
            raise


def _get_blessed(client: MlflowClient, pipeline_name: str, version: str) -> Entry:
    entry = get_entry(client, pipeline_name, version)
    if entry.tags.get(BLESSING_TAG) != "blessed":
        raise NotBlessed(
            f"Version {version} of {pipeline_name} was not blessed.",
            next_step="Only a blessed version may be challenger or champion; train one.",
            pipeline=pipeline_name,
            version=version,
        )
    return entry


def is_blessed(settings: Settings, pipeline_name: str, version: str) -> bool:
    """Whether the registered version was blessed. Raises TrackingConflict when there is none."""
    with open_client(settings) as client:
        return bool(get_entry(client, pipeline_name, version).tags.get(BLESSING_TAG) == "blessed")


def set_challenger(settings: Settings, pipeline_name: str, version: str) -> ModelVersion:
    """Point the alias ``challenger`` at a blessed version. Raises NotBlessed, TrackingConflict (no such version)."""
    with open_client(settings) as client:
        entry = _get_blessed(client, pipeline_name, version)
        client.set_registered_model_alias(pipeline_name, CHALLENGER, entry.version)
        return _to_contract(entry)


def promote_champion(settings: Settings, pipeline_name: str, version: str, reason: str) -> ModelVersion:
    """Point the alias ``champion`` at a blessed version, remembering the one before; a repeat changes nothing.

    The previous champion is written first: a kill in between leaves it naming the present champion, which the repeat
    writes again. Raises NotBlessed, TrackingConflict (no such version).
    """
    with open_client(settings) as client:
        entry = _get_blessed(client, pipeline_name, version)
        champion = get_by_alias(client, pipeline_name, CHAMPION)
        if champion is None or str(champion.version) != str(entry.version):
            if champion is not None:
                client.set_registered_model_tag(pipeline_name, PREVIOUS_TAG, str(champion.version))
            client.set_model_version_tag(pipeline_name, entry.version, "tollgate.promoted_at", utc_now())
            client.set_model_version_tag(pipeline_name, entry.version, "tollgate.promoted_because", reason)
            client.set_registered_model_alias(pipeline_name, CHAMPION, entry.version)
        challenger = get_by_alias(client, pipeline_name, CHALLENGER)
        if challenger is not None and str(challenger.version) == str(entry.version):
            client.delete_registered_model_alias(pipeline_name, CHALLENGER)
        return _to_contract(entry)
