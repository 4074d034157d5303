"""From a name in a declaration to the function it names, imported only where the work is done."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from include.declaration.models import Pipeline
from include.errors import DeclarationError


def resolve_function(pipeline: Pipeline, reference: str) -> Callable[..., Any]:
    """Return the function that ``reference`` ("module:function") names in the pipeline's own folder.

    Raises DeclarationError when the module or the function is not there.
    """
    module_name, _, function_name = reference.partition(":")
    try:
        module = importlib.import_module(f"{pipeline.package}.{module_name}")
        function: Callable[..., Any] = getattr(module, function_name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise refuse_declaration(
            pipeline,
            reference,
            f"Pipeline {pipeline.name!r} names {reference!r}, which is not there ({error}).",
            f"Define {function_name} in {pipeline.name}/{module_name}.py, or correct the name.",
        ) from error
    return function


def refuse_declaration(pipeline: Pipeline, place: str, problem: str, next_step: str) -> DeclarationError:
    """The error for a mistake that shows only where a declaration is used; ``place`` is the part of it."""
    return DeclarationError(
        problem, next_step=next_step, pipeline=pipeline.name, place=place, source=f"{pipeline.folder}/pipeline.py"
    )
