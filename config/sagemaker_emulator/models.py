"""Models and model packages: moto keeps them, and here is what it lets pass or does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from config.sagemaker_emulator.refusals import Refusal, refuse_existing
from config.sagemaker_emulator.regions import Region


class Models:
    """Answers what moto cannot; an action that gives None goes on to moto."""

    @property
    def actions(self) -> dict[str, Callable[[Region, dict[str, Any]], dict[str, Any] | None]]:
        """By the name that a request gives."""
        return {"CreateModel": self.check_new_model, "DeleteModelPackage": self.delete_package}

    def check_new_model(self, region: Region, request: dict[str, Any]) -> None:
        """CreateModel: moto would replace a model of the same name."""
        name = request["ModelName"]
        if name in region.below._models:
            raise refuse_existing("model", region.name_arn("model", name))
        if ("PrimaryContainer" in request) == bool(request.get("Containers")):
            raise Refusal("Exactly one of PrimaryContainer and Containers must be specified.")

    def delete_package(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteModelPackage, which moto does not know."""
        name = request["ModelPackageName"]
        below = region.below
        arn = below.model_package_name_mapping.get(name, name)
        package = below.model_packages.pop(arn, None)
        if package is None:
            raise Refusal(f"ModelPackage {name} does not exist.")
        for key in [key for key, value in below.model_package_name_mapping.items() if value == arn]:
            del below.model_package_name_mapping[key]
        return {}
