"""Processing jobs: a container's entry point between inputs from S3 and outputs to S3."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from config.sagemaker_emulator.images import find_image
from config.sagemaker_emulator.jobs import Job, JobFailed, JobKind, build_path, move_paths
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.storage import Storage

_MAX_SECONDS = 86_400


class Processing(JobKind):
    """CreateProcessingJob, and what follows."""

    kind = "ProcessingJob"
    arn_kind = "processing-job"
    plural = "ProcessingJobs"
    word = "job"
    log_group = "/aws/sagemaker/ProcessingJobs"

    def _check(self, region: Region, request: dict[str, Any]) -> None:
        """boto3 has seen to what is required."""

    def _work(self, region: Region, job: Job, folder: Path) -> None:
        storage = Storage(region.account)
        base = folder / "ml"
        for given in job.request.get("ProcessingInputs", []):
            source = given["S3Input"]
            target = Path(move_paths(source["LocalPath"] + "/", base))
            target.mkdir(parents=True, exist_ok=True)
            if not storage.download(source["S3Uri"], target):
                raise JobFailed(f"ClientError: No S3 objects found under S3 URL {source['S3Uri']}")
        outputs = job.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for wanted in outputs:
            Path(move_paths(wanted["S3Output"]["LocalPath"] + "/", base)).mkdir(parents=True, exist_ok=True)
        (base / "config").mkdir(parents=True, exist_ok=True)
        resources = {"current_host": "algo-1", "hosts": ["algo-1"]}
        (base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        command, env = self._build_command(job, folder, base, region)
        program = self._launch(region, job, command, env, folder)
        seconds = float(job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_SECONDS))
        outcome = self._await(job, program, seconds, lambda: False)
        if outcome == "stopped":
            job.end("Stopped", "Stopped", "Processing job stopped")
            return
        if outcome == "overtime":
            raise JobFailed("ClientError: The processing job exceeded its maximum runtime.")
        job.facts["ExitMessage"] = ""
        if program.exit_code != 0:
            message = base / "output" / "message"
            told = message.read_text(errors="replace") if message.exists() else "\n".join(program.read_tail())
            job.facts["ExitMessage"] = told[:1024]
            raise JobFailed(f"AlgorithmError: {told.strip()[:900]}, exit code: {program.exit_code}")
        for wanted in outputs:
            storage.upload(Path(move_paths(wanted["S3Output"]["LocalPath"] + "/", base)), wanted["S3Output"]["S3Uri"])
        job.end("Completed", "Completed", "Processing job completed")

    def _build_command(self, job: Job, folder: Path, base: Path, region: Region) -> tuple[list[str], dict[str, str]]:
        application = job.request["AppSpecification"]
        image = find_image(self._services.images, application["ImageUri"], "process")
        if image is None:
            raise JobFailed(
                f"ClientError: Cannot pull the image {application['ImageUri']}: the emulator has no command for it."
            )
        command, env = image.fill("process", {"base": str(base), "folder": str(folder)})
        if entry := application.get("ContainerEntrypoint"):
            command = [move_paths(part, base) for part in entry]
            # An image has one Python, and no other on its PATH.
            if command[0] in {"python", "python3"}:
                command[0] = sys.executable
            command[0] = shutil.which(command[0]) or command[0]
        command += [move_paths(part, base) for part in application.get("ContainerArguments", [])]
        given = {key: move_paths(text, base) for key, text in job.request.get("Environment", {}).items()}
        env = {"HOME": str(folder), **self._services.build_credentials(region.name), **env, **given}
        return command, build_path(env, sys.executable)
