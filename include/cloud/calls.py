"""Calls to AWS, all through one place: what botocore raises leaves it as Tollgate's errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from include.cloud.clients import Clients
from include.cloud.failures import is_missing, is_taken, translate
from include.errors import TargetRefused


class Aws:
    """Calls with one caller's credentials; each method raises TargetUnavailable and TargetRefused."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call; ``operation`` as boto3 names it (``describe_endpoint``)."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._clients(service), operation)(**parameters)
        except (BotoCoreError, ClientError, OSError) as error:
            raise translate(error, service, operation) from error
        return answer

    def find(self, service: str, operation: str, **parameters: Any) -> dict[str, Any] | None:
        """The same; None when what is named does not exist."""
        try:
            return self.call(service, operation, **parameters)
        except TargetRefused as error:
            if is_missing(error):
                return None
            raise

    def make(self, service: str, operation: str, **parameters: Any) -> bool:
        """Create something under its name; False when it is there already, made by somebody before us."""
        try:
            self.call(service, operation, **parameters)
        except TargetRefused as error:
            if is_taken(error):
                return False
            raise
        return True

    def drop(self, service: str, operation: str, **parameters: Any) -> None:
        """Delete something; that it is not there any more is what was wanted."""
        self.find(service, operation, **parameters)

    def each(self, service: str, operation: str, field: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every item of a listing's ``field``, over all its pages."""
        token: str | None = None
        while True:
            paged = {**parameters, "NextToken": token} if token else parameters
            page = self.call(service, operation, **paged)
            yield from page.get(field, ())
            token = page.get("NextToken")
            if not token:
                return
