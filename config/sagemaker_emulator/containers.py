"""One model container as SageMaker's contract has it: GET /ping, POST /invocations, SIGTERM and then SIGKILL."""

from __future__ import annotations

import http.client
import shutil
import socket
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from config.sagemaker_emulator.images import find_image
from config.sagemaker_emulator.processes import Program
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.services import Services
from config.sagemaker_emulator.storage import Storage
from include.errors import TerminalError

_PING_SECONDS = 2.0
INVOCATION_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ContainerFailed(TerminalError):
    """A container could not be made or never became healthy; ``message`` becomes the endpoint's FailureReason."""

    def __init__(self, message: str, *, next_step: str = "Read the endpoint's log in CloudWatch Logs.") -> None:
        super().__init__(message, next_step=next_step)


@dataclass(frozen=True)
class ContainerSpec:
    """What a model says of its container."""

    image: str
    model_data: str | None
    environment: dict[str, str]


def read_specs(region: Region, model_name: str) -> list[ContainerSpec]:
    """The containers of a model, whatever way it names them. Raises ContainerFailed when it cannot be told."""
    model = region.below._models[model_name]
    specs = []
    for container in [model.primary_container] if model.primary_container else model.containers:
        described = dict(container)
        if package := container.get("ModelPackageName"):
            found = region.below.model_packages.get(region.below.model_package_name_mapping.get(package, package))
            if found is None:
                raise ContainerFailed(f"Model package {package} does not exist.")
            described = {**found.inference_specification["Containers"][0], **container}
        source = (described.get("ModelDataSource") or {}).get("S3DataSource") or {}
        specs.append(
            ContainerSpec(
                described.get("Image", ""),
                described.get("ModelDataUrl") or source.get("S3Uri"),
                described.get("Environment") or {},
            )
        )
    return specs


def find_free_port() -> int:
    """A port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Container:
    """A container of one variant. It is started again when it ends by itself, as SageMaker does."""

    def __init__(
        self,
        services: Services,
        region: Region,
        endpoint: str,
        variant: str,
        spec: ContainerSpec,
        log_group: str | None = None,
    ) -> None:
        self._services = services
        self.log_group = log_group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self._region = region
        self.name = f"{variant}/i-{uuid.uuid4().hex[:17]}"
        self._spec = spec
        self.port = 0
        self._folder = services.settings.home / "containers" / endpoint / self.name
        self._program: Program | None = None

    @property
    def pid(self) -> int | None:
        """The process id of its guard, while there is one."""
        return None if self._program is None else self._program.pid

    @property
    def has_ended(self) -> bool:
        """Whether the program ended by itself."""
        return self._program is not None and self._program.exit_code is not None

    def start(self) -> None:
        """Fetch the model and start the program. Raises ContainerFailed with AWS's reason."""
        model_dir = self._folder / "model"
        model_dir.mkdir(parents=True, exist_ok=True)
        image = find_image(self._services.images, self._spec.image, "serve")
        if image is None:
            raise ContainerFailed(
                f"The image '{self._spec.image}' does not exist. Add it to the emulator's TOLLGATE_EMULATOR_IMAGES."
            )
        if self._spec.model_data and not any(model_dir.iterdir()):
            self._fetch_model(self._spec.model_data, model_dir)
        self.port = find_free_port()
        places = {"port": str(self.port), "model_dir": str(model_dir), "folder": str(self._folder)}
        command, env = image.fill("serve", places)
        env = {
            "HOME": str(self._folder),
            **self._services.build_credentials(self._region.name),
            **env,
            **self._spec.environment,
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
        }
        self._program = self._services.launcher.start(command, env, self._folder)
        self._services.logs.follow(
            self._program.log, self._region.account, self._region.name, self.log_group, self.name
        )

    def _fetch_model(self, uri: str, model_dir: Path) -> None:
        storage = Storage(self._region.account)
        try:
            # An archive, or a prefix whose objects are taken as they are (ModelDataSource).
            found = storage.download(uri, model_dir) > 0 if uri.endswith("/") else storage.extract(uri, model_dir)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ContainerFailed(
                f'Failed to extract model data archive from URL "{uri}". Please ensure that the object located at the '
                f"URL is a valid tar.gz archive. ({error})"
            ) from error
        if not found:
            raise ContainerFailed(
                f'Failed to download model data from URL: "{uri}". Please ensure that there is an object located at '
                "the URL and that the role passed to CreateModel has permissions to download the object."
            )

    def wait_healthy(self, seconds: float) -> bool:
        """Ping until it answers 200; False when it ended or that many real seconds passed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.has_ended and not self._services.clock.is_stopped:
            if self._ping():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _ping(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PING_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def invoke(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        """POST /invocations. Raises OSError or HTTPException when no answer came, TimeoutError when none in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=INVOCATION_SECONDS)
        try:
            connection.request("POST", "/invocations", body, headers)
            response = connection.getresponse()
            return response.status, response.read(), {name.lower(): text for name, text in response.getheaders()}
        finally:
            connection.close()

    def stop(self) -> None:
        """End it, ship the last of its log and clear its folder away."""
        if self._program is not None:
            self._program.stop()
            self._services.logs.finish(self._program.log)
        shutil.rmtree(self._folder, ignore_errors=True)
