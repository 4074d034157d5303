"""A model directory, loaded and tried: what the serving process swaps in.

A model with a compiled form is served without scikit-learn and pandas. They are imported only for one that has none,
while it is loaded, so the process answers /ping before.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.errors import TollgateError
from include.serving.decode import RequestRows, decode_body
from include.serving.log import log_event
from include.serving.prediction_rules import PredictionRules, RuleBroken, read_rules
from include.serving.schema import RequestRefused, RequestSchema, read_schema
from include.serving.scores import Scores, load_compiled, load_pipeline, refuse_model

# Decoding so much takes less than handing work to a thread and back, which costs 0.1 ms; so does scoring so many rows,
# 0.3 ms without a compiler. Short column names let a small body hold a thousand.
_INLINE_BYTES = 8192
INLINE_ROWS = 16


@dataclass(frozen=True)
class ServedModel:
    """One loaded model. ``metadata`` is what training stored about it (``metadata.tollgate`` of the MLmodel file).

    ``scoring_path`` names what computes the scores, as answers and metrics show it: "compiled-native", "compiled" or
    "pipeline", and ``scoring_note`` why it is not the one named before. A request whose body has at most
    ``inline_bytes``, and at most ``INLINE_ROWS`` rows, is scored on the event loop: set it only where that takes less
    than handing work to a thread.
    ``rules`` are for whoever gives the predictions to a customer; ``answer`` and ``predict`` tell what the model said.
    """

    version: str
    path: Path
    schema: RequestSchema
    metadata: dict[str, Any]
    scores: Scores
    scoring_path: str = "pipeline"
    scoring_note: str = ""
    inline_bytes: int = 0
    rules: PredictionRules = field(default_factory=PredictionRules)

    def answer(self, content_type: str, body: bytes) -> list[float]:
        """Decode a request's body and score it. Raises RequestRefused (the caller's mistake) or ModelUnusable."""
        return self.predict(decode_body(self.schema, content_type, body))

    def predict(self, request: RequestRows) -> list[float]:
        """One finite number for each row. Raises ModelUnusable when the model gives anything else."""
        predictions = self.scores(request)
        if len(predictions) != request.rows or not all(map(math.isfinite, predictions)):
            raise refuse_model(self.path, "it did not give one finite number for each row")
        return predictions


def load_model(path: Path, version: str | None = None) -> ServedModel:
    """Load the model in ``path`` and try it on its stored example, or on a made-up row.

    ``version`` names it in answers; by default the directory's name does. Raises UnsafeModel when the file asks for
    types outside Tollgate's own list, and ModelUnusable when it cannot be read or does not answer.
    """
    metadata = _read_metadata(path)
    try:
        schema = read_schema(metadata["request"], metadata.get("request_rules"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refuse_model(path, f"its metadata holds no usable request ({error!r})") from error
    try:
        rules = read_rules(metadata)
    except ValueError as error:  # without its rules it would be unguarded
        raise refuse_model(path, f"its metadata holds no usable prediction rules ({error})") from error
    name = version or path.name
    try:
        compiled = load_compiled(path, schema, metadata)
        model = ServedModel(
            name, path, schema, metadata, compiled.scores, compiled.path_name, compiled.note, _INLINE_BYTES, rules
        )
        try_model(model)
    except TollgateError as error:
        # Whatever is wrong with a compiled form, the model itself is beside it.
        note = str(error.facts.get("reason") or error.message)
        model = ServedModel(name, path, schema, metadata, load_pipeline(path, schema), scoring_note=note, rules=rules)
        try_model(model)
    log_event("scoring_path", version=name, scoring_path=model.scoring_path, note=model.scoring_note)
    return model


def try_model(model: ServedModel) -> None:
    """Ask the model for its stored example and for a made-up row. Raises ModelUnusable when it does not answer, or when
    the example's answer would be refused; that of a row which nobody would send may be."""
    for name, body in (("stored example", _read_example(model.path)), ("made-up row", _make_row(model.schema))):
        if body is None:
            continue
        try:
            predictions, _ = model.rules.enforce(model.answer("application/json", body))
        except RequestRefused as error:
            raise refuse_model(model.path, f"its {name} does not fit its own request: {error.message}") from error
        except RuleBroken as error:
            if name == "made-up row":
                continue
            raise refuse_model(model.path, f"the answer to its {name} breaks its rule {error.rule!r}") from error
        except TollgateError:
            raise
        except Exception as error:  # a model may fail in any way; it must not be swapped in
            raise refuse_model(model.path, f"its {name} raised {type(error).__name__}: {error}") from error
        if model.metadata.get("task", "binary") == "binary" and not all(0 <= p <= 1 for p in predictions):
            raise refuse_model(model.path, f"its {name} got a probability outside 0 to 1")


def _read_metadata(path: Path) -> dict[str, Any]:
    import yaml

    try:
        # The C parser, where PyYAML was built with it, takes a tenth: half of a model's loading.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load((path / "MLmodel").read_bytes(), Loader=loader)  # noqa: S506 (either is the safe one)
        metadata: dict[str, Any] = dict(document["metadata"]["tollgate"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise refuse_model(
            path, f"its MLmodel file has no readable metadata.tollgate ({type(error).__name__})"
        ) from error
    return metadata


def _read_example(path: Path) -> bytes | None:
    """The request that MLflow stored beside the model, if any, with its NaN tokens (no JSON) as null."""
    file = path / "serving_input_example.json"
    if not file.is_file():
        return None
    try:
        return json.dumps(json.loads(file.read_bytes(), parse_constant=lambda _token: None)).encode()
    except (ValueError, RecursionError) as error:
        raise refuse_model(path, f"its stored example is not JSON ({type(error).__name__})") from error


def _make_row(schema: RequestSchema) -> bytes:
    """A row with only the required columns, each 1 or "A": an unknown category to most models."""
    row = {column.name: 1.0 if column.kind == "number" else "A" for column in schema.columns if column.required}
    if not row:
        row = {schema.names[0]: None}  # type: ignore[dict-item]
    return json.dumps({"dataframe_records": [row]}).encode()
