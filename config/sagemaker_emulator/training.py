"""Training jobs that really train: the image's command, with inputs from S3 and the model packed back to S3."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from config.sagemaker_emulator.checkpoints import Checkpoints
from config.sagemaker_emulator.images import find_image
from config.sagemaker_emulator.jobs import Job, JobFailed, JobKind, build_path, move_paths
from config.sagemaker_emulator.processes import Program
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.storage import Storage, pack_folder

_MAX_SECONDS = 86_400
# "localhost" and not "algo-1": the toolkit waits until every host's name can be resolved.
_HOST = "localhost"


class Training(JobKind):
    """CreateTrainingJob, and what follows."""

    kind = "TrainingJob"
    arn_kind = "training-job"
    plural = "TrainingJobs"
    word = "training job"
    log_group = "/aws/sagemaker/TrainingJobs"

    def describe(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """The job with its secondary statuses."""
        job = self._find(region, request)
        shown = {"SecondaryStatus": job.secondary, "SecondaryStatusTransitions": list(job.transitions)}
        return {**super().describe(region, request), **shown}

    def _check(self, region: Region, request: dict[str, Any]) -> None:
        image = request["AlgorithmSpecification"].get("TrainingImage", "")
        if not image and "AlgorithmName" not in request["AlgorithmSpecification"]:
            raise Refusal("Either TrainingImage or AlgorithmName must be specified.")
        stopping = request.get("StoppingCondition", {})
        if request.get("EnableManagedSpotTraining"):
            if "MaxWaitTimeInSeconds" not in stopping:
                raise Refusal("MaxWaitTimeInSeconds must be specified when EnableManagedSpotTraining is true.")
            if stopping["MaxWaitTimeInSeconds"] < stopping.get("MaxRuntimeInSeconds", _MAX_SECONDS):
                raise Refusal("MaxWaitTimeInSeconds must be equal to or greater than MaxRuntimeInSeconds.")
        elif "MaxWaitTimeInSeconds" in stopping:
            raise Refusal("MaxWaitTimeInSeconds can only be specified when EnableManagedSpotTraining is true.")
        storage = Storage(region.account)
        if not storage.has_bucket(request["OutputDataConfig"]["S3OutputPath"]):
            raise Refusal(f"S3 bucket of {request['OutputDataConfig']['S3OutputPath']} does not exist.")

    def _work(self, region: Region, job: Job, folder: Path) -> None:
        storage = Storage(region.account)
        base = folder / "ml"
        uri = job.request["AlgorithmSpecification"].get("TrainingImage", "")
        image = find_image(self._services.images, uri, "train")
        if image is None:
            raise JobFailed(f"ClientError: Cannot pull the training image {uri}: the emulator has no command for it.")
        command, env = image.fill("train", {"base": str(base), "folder": str(folder)})
        env = build_path(
            {
                "HOME": str(folder),
                "SAGEMAKER_BASE_DIR": str(base),
                "TRAINING_JOB_NAME": job.name,
                "TRAINING_JOB_ARN": job.arn,
                "SAGEMAKER_REGION": region.name,
                # What a job installs for itself stays with the job.
                "PIP_TARGET": str(folder / "packages"),
                "PYTHONPATH": str(folder / "packages"),
                **self._services.build_credentials(region.name),
                **env,
                **{key: move_paths(text, base) for key, text in job.request.get("Environment", {}).items()},
            },
            sys.executable,
        )
        began = time.monotonic()
        while True:
            job.enter("Downloading", "Downloading the input data")
            _prepare(storage, job.request, base)
            job.enter("Training", "Training image download completed. Training in progress.")
            outcome, program = self._train(region, job, command, env, folder, base)
            if outcome != "interrupted":
                break
            job.enter("Interrupted", "Spot instances were taken away")
            job.enter("Starting", "Preparing the instances for the job")
        seconds = max(1, round((time.monotonic() - began) / self._services.clock.scale))
        job.facts |= {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
        job.facts["FinalMetricDataList"] = _read_metrics(job.request, program.log)
        if outcome == "ended" and program.exit_code != 0:
            raise JobFailed(_explain(base, program))
        self._upload(storage, job, base)
        if outcome == "stopped":
            job.end("Stopped", "Stopped", "Training job stopped")
        elif outcome == "overtime":
            job.end("Stopped", "MaxRuntimeExceeded", "Training job exceeded its maximum runtime")
        else:
            job.end("Completed", "Completed", "Training job completed")

    def _train(
        self, region: Region, job: Job, command: list[str], env: dict[str, str], folder: Path, base: Path
    ) -> tuple[str, Program]:
        checkpoints = Checkpoints(Storage(region.account), job.request, base)
        is_spot = bool(job.request.get("EnableManagedSpotTraining"))

        def watch() -> bool:
            checkpoints.sync()
            return is_spot and self._services.faults.take("spot_interruption", job.name)

        seconds = float(job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_SECONDS))
        program = self._launch(region, job, command, env, folder)
        outcome = self._await(job, program, seconds, watch)
        checkpoints.sync(at_end=True)
        return outcome, program

    def _upload(self, storage: Storage, job: Job, base: Path) -> None:
        job.enter("Uploading", "Uploading generated training model")
        place = f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.name}/output"
        storage.write(f"{place}/model.tar.gz", pack_folder(base / "model"))
        job.facts["ModelArtifacts"] = {"S3ModelArtifacts": f"{place}/model.tar.gz"}
        data = base / "output" / "data"
        if data.is_dir() and any(data.iterdir()):
            storage.write(f"{place}/output.tar.gz", pack_folder(data))


def _prepare(storage: Storage, request: dict[str, Any], base: Path) -> None:
    """Lay out what a container finds below /opt/ml. Raises JobFailed for inputs that are not there."""
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints", "code"):
        (base / name).mkdir(parents=True, exist_ok=True)
    channels = {}
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise JobFailed(f"ClientError: The emulator reads channels from S3 only ({channel['ChannelName']}).")
        folder = base / "input" / "data" / channel["ChannelName"]
        folder.mkdir(exist_ok=True)
        if not storage.download(source["S3Uri"], folder):
            raise JobFailed(f"ClientError: Data download failed: No S3 objects found under S3 URL {source['S3Uri']}")
        channels[channel["ChannelName"]] = {
            "TrainingInputMode": channel.get("InputMode", "File"),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
    instance = request.get("ResourceConfig", {}).get("InstanceType", "local")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [_HOST]}
    resources = {
        "current_host": _HOST,
        "hosts": [_HOST],
        "current_instance_type": instance,
        "current_group_name": "homogeneousCluster",
        "instance_groups": [group],
        "network_interface_name": "lo",
    }
    config = base / "input" / "config"
    (config / "hyperparameters.json").write_text(json.dumps(request.get("HyperParameters", {})))
    (config / "inputdataconfig.json").write_text(json.dumps(channels))
    (config / "resourceconfig.json").write_text(json.dumps(resources))


def _explain(base: Path, program: Program) -> str:
    """AWS's words for a container that failed: what it left in /opt/ml/output/failure, else its last lines."""
    failure = base / "output" / "failure"
    told = failure.read_text(errors="replace") if failure.exists() else "\n".join(program.read_tail())
    ending = f", exit code: {program.exit_code}"
    return f"AlgorithmError: {told.strip()[: 1000 - len(ending)]}{ending}"


def _read_metrics(request: dict[str, Any], log: Path) -> list[dict[str, Any]]:
    """The last value of each metric that MetricDefinitions find in the log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    found = []
    for definition in request["AlgorithmSpecification"].get("MetricDefinitions", []):
        if values := re.findall(definition["Regex"], text):
            found.append({"MetricName": definition["Name"], "Value": float(values[-1]), "Timestamp": time.time()})
    return found
