"""The door: what the emulator answers itself, and what it leaves to moto."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from config.sagemaker_emulator.alarms import AlarmEvaluator
from config.sagemaker_emulator.hosting import Hosting
from config.sagemaker_emulator.invocations import invoke
from config.sagemaker_emulator.models import Models
from config.sagemaker_emulator.processing import Processing
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.regions import Regions
from config.sagemaker_emulator.services import Services
from config.sagemaker_emulator.shapes import check_request
from config.sagemaker_emulator.tagging import Tagging
from config.sagemaker_emulator.training import Training
from config.sagemaker_emulator.transforms import Transforms
from config.sagemaker_emulator.wire import Environ, answer, answer_refusal, ask_below, read_body, read_caller

_TARGET = "SageMaker."
_INVOCATIONS = re.compile(r"/endpoints/(?P<name>[^/]+)/invocations")
_BOOKKEEPING = "/emulator/"


class Gateway:
    """The WSGI application."""

    def __init__(self, services: Services, alarms: AlarmEvaluator) -> None:
        self._services = services
        self._alarms = alarms
        self.regions = Regions()
        self._below = DomainDispatcherApplication(create_backend_app)
        self._tagging = Tagging()
        self._models = Models()
        self._actions = {**Hosting(services).actions, **self._models.actions}
        for kind in (Training, Processing, Transforms):
            self._actions |= kind(services).actions

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            response = self._answer(environ)
        except Refusal as refusal:
            response = answer_refusal(refusal)
        if response is None:
            return self._pass_on(environ, start_response)
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> Response | None:
        path = environ.get("PATH_INFO", "")
        if path.startswith(_BOOKKEEPING):
            return self._keep_books(path.removeprefix(_BOOKKEEPING), environ)
        if (found := _INVOCATIONS.fullmatch(path)) is not None and environ["REQUEST_METHOD"] == "POST":
            return invoke(self._services, self.regions.find(read_caller(environ)), found["name"], Request(environ))
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(_TARGET):
            return None
        action = target.removeprefix(_TARGET)
        body = read_body(environ)
        request = json.loads(body or b"{}")
        region = self.regions.find(read_caller(environ))
        if self._tagging.knows(region, action, request):
            return answer(self._tagging.answer(region, action, request))
        if action in self._actions:
            check_request(action, request)
            handled = self._actions[action](region, request)
            if handled is not None:
                return answer(handled)
        status, content = ask_below(self._below, environ, body)
        return Response(json.dumps(content), status, {"Content-Type": "application/x-amz-json-1.1"})

    def _pass_on(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answered: Iterable[bytes] = self._below(environ, start_response)
        if read_caller(environ).service == "monitoring":
            self._alarms.adopt_new()
        return answered

    def _keep_books(self, name: str, environ: Environ) -> Response:
        if name == "health":
            return answer({"status": "ok", "time_scale": self._services.clock.scale, **self._count()})
        if name == "faults":
            if environ["REQUEST_METHOD"] == "POST":
                self._services.faults.add(json.loads(read_body(environ) or b"{}"))
            return answer({"waiting": self._services.faults.list()})
        raise Refusal(f"There is no /emulator/{name}: health, faults.", code="NotFound", status=404)

    def _count(self) -> dict[str, int]:
        regions = self.regions.list()
        return {
            "endpoints": sum(len(region.endpoints) for region in regions),
            "processes": sum(program.exit_code is None for program in self._services.launcher.programs),
        }
