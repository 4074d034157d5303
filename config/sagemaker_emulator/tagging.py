"""Tags of what the emulator keeps itself; moto has the tags of the rest."""

from __future__ import annotations

from typing import Any

from config.sagemaker_emulator.regions import Region

_ACTIONS = frozenset({"AddTags", "ListTags", "DeleteTags"})


class Tagging:
    """Answers AddTags, ListTags and DeleteTags."""

    def knows(self, region: Region, action: str, request: dict[str, Any]) -> bool:
        """Whether the request is about a resource of the emulator's own."""
        return action in _ACTIONS and request.get("ResourceArn") in region.tags

    def answer(self, region: Region, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """Change or list the tags."""
        arn = request["ResourceArn"]
        with region.lock:
            tags = {tag["Key"]: tag["Value"] for tag in region.tags[arn]}
            if action == "AddTags":
                tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            elif action == "DeleteTags":
                tags = {key: value for key, value in tags.items() if key not in request["TagKeys"]}
            region.tags[arn] = [{"Key": key, "Value": value} for key, value in tags.items()]
            return {} if action == "DeleteTags" else {"Tags": region.tags[arn]}
