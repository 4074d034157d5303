"""Reading declared pipelines: a broken one becomes an error with its place, and the others still load."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from include import declaration
from include.declaration.models import Pipeline
from include.errors import DeclarationError
from include.settings import PROJECT_ROOT, Settings

_OWN_PIPELINES = PROJECT_ROOT / "include" / "pipelines"
# Pipelines outside the project are imported below this name, so that they cannot hide an installed package.
_OUTSIDE_PACKAGE = "tollgate_pipelines"


@dataclass(frozen=True)
class LoadedPipelines:
    """``pipelines`` by name, in name order; ``errors`` by folder name."""

    pipelines: dict[str, Pipeline]
    errors: dict[str, DeclarationError]


def _suggest_name(part: str, wrong: str, place: Sequence[Any]) -> str:
    # Each part is built on its own, so an error's place starts at the part that pydantic names.
    model: Any = getattr(declaration, part, Pipeline)
    for step in place:
        field = model.model_fields.get(step) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is not None:
            model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            # A tuple, dict or optional of parts: take the part inside.
            inner = [a for a in getattr(model, "__args__", ()) if isinstance(a, type) and issubclass(a, BaseModel)]
            model = inner[0] if inner else model
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    close = difflib.get_close_matches(wrong, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else (f" Known names: {', '.join(known)}." if known else "")


def _describe_validation(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place = problem["loc"]
        where = ".".join([error.title, *(str(step) for step in place)])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = "unknown name." + _suggest_name(error.title, str(place[-1]), place[:-1])
        lines.append(f"{where}: {text}")
    return "; ".join(lines)


def _import_package(name: str, folder: Path) -> ModuleType:
    """Import ``folder`` as a package of its own; already imported code is not run again."""
    if folder.parent == _OWN_PIPELINES:
        return importlib.import_module(f"include.pipelines.{name}")
    parent = sys.modules.get(_OUTSIDE_PACKAGE)
    if parent is None:
        parent = ModuleType(_OUTSIDE_PACKAGE)
        parent.__path__ = []
        sys.modules[_OUTSIDE_PACKAGE] = parent
    paths = parent.__path__
    if str(folder.parent) not in paths:
        paths.append(str(folder.parent))
        importlib.invalidate_caches()
    return importlib.import_module(f"{_OUTSIDE_PACKAGE}.{name}")


def load_pipeline(folder: Path) -> Pipeline:
    """Read the declaration in ``folder/pipeline.py``. Raises DeclarationError with the place of the mistake."""
    name = folder.name
    source = folder / "pipeline.py"

    def fail(problem: str) -> DeclarationError:
        return DeclarationError(
            f"Pipeline {name!r} is not usable: {problem}",
            next_step=f"Correct {name}/pipeline.py; the other pipelines keep running meanwhile.",
            pipeline=name,
            place=problem,
            source=str(source),
        )

    try:
        package = _import_package(name, folder)
        module = importlib.import_module(f"{package.__name__}.pipeline")
        declared = module.PIPELINE
    except ValidationError as error:
        raise fail(_describe_validation(error)) from None
    except AttributeError as error:
        raise fail(f"it must define PIPELINE = Pipeline(...) ({error})") from error
    except (Exception, SystemExit) as error:  # a user's file may fail in any way; it must not take the others down
        raise fail(f"importing it failed with {type(error).__name__}: {error}") from error
    if not isinstance(declared, Pipeline):
        raise fail(f"PIPELINE is a {type(declared).__name__}, not a Pipeline")
    if declared.name != name:
        raise fail(f"it is named {declared.name!r}, but its folder is {name!r}; they must agree")
    # A variant of another pipeline names that one's package and so shares its functions.
    return declared.model_copy(update={"package": declared.package or package.__name__, "folder": str(folder)})


def load_pipelines(settings: Settings) -> LoadedPipelines:
    """Read every pipeline below ``settings.pipelines_path``; raises nothing for a broken one."""
    pipelines: dict[str, Pipeline] = {}
    errors: dict[str, DeclarationError] = {}
    ports: dict[int, str] = {}
    root = settings.pipelines_path
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not (folder / "pipeline.py").is_file():
            continue
        try:
            pipeline = load_pipeline(folder)
        except DeclarationError as error:
            errors[folder.name] = error
            continue
        offset = pipeline.deployment.port_offset
        if offset is not None and offset in ports:
            errors[folder.name] = DeclarationError(
                f"Pipelines {ports[offset]!r} and {folder.name!r} both ask for the endpoint port offset {offset}.",
                next_step=f"Give {folder.name} a deployment.target.port_offset of its own.",
                pipeline=folder.name,
                place="deployment.target.port_offset",
                source=str(folder / "pipeline.py"),
            )
            continue
        if offset is not None:
            ports[offset] = pipeline.name
        pipelines[pipeline.name] = pipeline
    return LoadedPipelines(pipelines, errors)


def get_pipeline(settings: Settings, name: str) -> Pipeline:
    """The declared pipeline ``name``. Raises DeclarationError, with a suggestion when none has that name."""
    loaded = load_pipelines(settings)
    if name in loaded.pipelines:
        return loaded.pipelines[name]
    if name in loaded.errors:
        raise loaded.errors[name]
    close = difflib.get_close_matches(name, loaded.pipelines, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Declared: {', '.join(loaded.pipelines) or 'none'}."
    raise DeclarationError(
        f"No pipeline is named {name!r}.",
        next_step=hint,
        pipeline=name,
        place="name",
        source=str(settings.pipelines_path),
    )
