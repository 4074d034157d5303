"""The built-in recipes: an unfitted estimator that takes the declared features as a frame, with a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.declaration.models import Candidate, Pipeline
from include.declaration.resolve import refuse_declaration, resolve_function

# HistGradientBoosting bins into 255; rarer values of a category share the last code.
_MAX_CATEGORIES = 255
# A category seen in fewer rows gets no weight of its own in the linear model.
_MIN_FREQUENCY = 20


def _split_features(pipeline: Pipeline) -> tuple[list[str], list[str]]:
    categories = [feature.name for feature in pipeline.features if feature.kind == "category"]
    numbers = [feature.name for feature in pipeline.features if feature.kind != "category"]
    return categories, numbers


def _build_boosted_trees(pipeline: Pipeline, seed: int, parameters: dict[str, Any]) -> Any:
    """Trees that take missing numbers as they are; categories as codes, missing as one of them, −1 for never seen.

    The codes go in as numbers: scikit-learn's own categorical splits would store ``functools.partial`` in the model
    file, and the list of types that a model file may hold is kept to what cannot call anything.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline as Chain
    from sklearn.preprocessing import OrdinalEncoder

    categories, numbers = _split_features(pipeline)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        max_categories=_MAX_CATEGORIES,
    )
    columns = ColumnTransformer([("category", encoder, categories), ("number", "passthrough", numbers)])
    defaults = {"max_iter": 100, "early_stopping": False, "random_state": seed}
    trees = HistGradientBoostingClassifier(**{**defaults, **parameters})
    return Chain([("columns", columns), ("model", trees)])


def _build_linear(pipeline: Pipeline, seed: int, parameters: dict[str, Any]) -> Any:
    """Logistic regression: one weight per category value, medians for missing numbers, all on one scale."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline as Chain
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    categories, numbers = _split_features(pipeline)
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=_MIN_FREQUENCY)
    scaled = Chain([("fill", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())])
    columns = ColumnTransformer([("category", encoder, categories), ("number", scaled, numbers)])
    model = LogisticRegression(**{"max_iter": 1000, "random_state": seed, **parameters})
    return Chain([("columns", columns), ("model", model)])


def _build_naive(pipeline: Pipeline, seed: int, parameters: dict[str, Any]) -> Any:
    """The floor: everybody gets the share of positives in the training rows."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(**{"strategy": "prior", "random_state": seed, **parameters})


_RECIPES = {"boosted_trees": _build_boosted_trees, "linear": _build_linear, "naive": _build_naive}


def find_candidate(pipeline: Pipeline, name: str) -> Candidate:
    """The declared candidate of that name. Raises DeclarationError."""
    for candidate in pipeline.training.candidates:
        if candidate.name == name:
            return candidate
    raise refuse_declaration(
        pipeline,
        "training.candidates",
        f"Pipeline {pipeline.name!r} declares no candidate {name!r}.",
        f"Declared: {', '.join(candidate.name for candidate in pipeline.training.candidates)}.",
    )


def build_estimator(pipeline: Pipeline, candidate: Candidate, threads: int) -> Any:
    """An unfitted estimator of the candidate, seeded with ``training.seed``; what a search is to find is as the search
    begins with.

    Raises DeclarationError for a parameter that the recipe does not take.
    """
    seed, parameters = pipeline.training.seed, dict(candidate.parameters)
    if candidate.search is not None:
        parameters |= candidate.search.begin()
    try:
        if candidate.function is not None:
            return resolve_function(pipeline, candidate.function)(seed=seed, threads=threads, **parameters)
        return _RECIPES[candidate.kind](pipeline, seed, parameters)
    except TypeError as error:
        raise refuse_declaration(
            pipeline,
            f"training.candidates.{candidate.name}.parameters",
            f"Candidate {candidate.name!r} of {pipeline.name!r} cannot be built: {error}.",
            "Correct its parameters; a built-in kind takes those of its scikit-learn estimator.",
        ) from error


def fix_parameters(pipeline: Pipeline, name: str, found: Mapping[str, Any]) -> Pipeline:
    """The pipeline with what a search ``found`` in place of the candidate's search."""
    fixed = []
    for candidate in pipeline.training.candidates:
        if candidate.name == name:
            parameters = {**candidate.parameters, **found}
            candidate = candidate.model_copy(update={"parameters": parameters, "search": None})
        fixed.append(candidate)
    training = pipeline.training.model_copy(update={"candidates": tuple(fixed)})
    return pipeline.model_copy(update={"training": training})
