"""A SageMaker emulator of a test's own: its process, its clients, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

from include.settings import PROJECT_ROOT

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
REGISTRY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
_IMAGES = PROJECT_ROOT / "config" / "sagemaker_emulator" / "images.json"
_START_SECONDS = 60


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningEmulator:
    """``python -m config.sagemaker_emulator`` below ``folder``; ``images`` come before those it brings itself.

    A second of SageMaker's takes ``scale`` real ones: at 0.02 a bake of a minute takes 1.2 s.
    """

    def __init__(self, folder: Path, *, scale: float = 0.02, images: Iterable[dict[str, Any]] = (), **env: str) -> None:
        self.folder = folder
        self.scale = scale
        self.port = find_free_port()
        self._images = [*images, *json.loads(_IMAGES.read_text())]
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What AWS_ENDPOINT_URL is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "emulator.log"

    def build_environment(self) -> dict[str, str]:
        """What makes boto3 of another process, or of this one, speak to the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testtest",
            "AWS_SECRET_ACCESS_KEY": "testtest",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> RunningEmulator:
        self.folder.mkdir(parents=True, exist_ok=True)
        images = self.folder / "images.json"
        images.write_text(json.dumps(self._images))
        env = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "TOLLGATE_"))},
            "TOLLGATE_HOME": str(self.folder / "home"),
            "TOLLGATE_EMULATOR_PORT": str(self.port),
            "TOLLGATE_EMULATOR_TIME_SCALE": str(self.scale),
            "TOLLGATE_EMULATOR_IMAGES": str(images),
            "TOLLGATE_EMULATOR_GRACE": "10",
            **self._env,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "config.sagemaker_emulator"],
                cwd=PROJECT_ROOT,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ask("health")
            except OSError:
                time.sleep(0.1)
            else:
                return self
        self.stop()
        raise AssertionError(f"The emulator did not start:\n{self.log.read_text()[-3000:]}")

    def ask(self, name: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET /emulator/<name>, or POST ``content`` there."""
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/emulator/{name}", body), timeout=10) as answer:
            return json.loads(answer.read())

    def make_client(self, service: str) -> Any:
        """A boto3 client that does not try again."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testtest",
            aws_secret_access_key="testtest",
            config=Config(retries={"max_attempts": 0}, max_pool_connections=20, read_timeout=120),
        )

    def stop(self) -> None:
        """SIGTERM, as a person or a supervisor stops it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL to the emulator alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def list_left(self) -> list[str]:
        """The command lines of all processes that work in its folder: its containers and their guards."""
        left = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.cwd().startswith(str(self.folder)):
                    left.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return left
