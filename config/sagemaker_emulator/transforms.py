"""Batch transform: a model's container asked for every object below a prefix."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from config.sagemaker_emulator.containers import Container, ContainerFailed, read_specs
from config.sagemaker_emulator.jobs import Job, JobFailed, JobKind
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.storage import Storage


class Transforms(JobKind):
    """CreateTransformJob, and what follows."""

    kind = "TransformJob"
    arn_kind = "transform-job"
    plural = "TransformJobs"
    word = "job"
    log_group = "/aws/sagemaker/TransformJobs"

    def _check(self, region: Region, request: dict[str, Any]) -> None:
        if request["ModelName"] not in region.below._models:
            raise Refusal(f'Could not find model "{region.name_arn("model", request["ModelName"])}".')

    def _work(self, region: Region, job: Job, folder: Path) -> None:
        storage = Storage(region.account)
        prefix = job.request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        found = [uri for uri in storage.list(prefix) if not uri.endswith("/")]
        if not found:
            raise JobFailed(f"ClientError: No S3 objects found under S3 URL {prefix}")
        spec = read_specs(region, job.request["ModelName"])[0]
        container = Container(self._services, region, f"transform-{job.name}", job.name, spec, self.log_group)
        try:
            container.start()
            if not container.wait_healthy(self._services.settings.startup):
                raise JobFailed("AlgorithmError: The container did not pass the ping health check. See its log.")
            for uri in found:
                if job.stop_asked.is_set():
                    job.end("Stopped", "Stopped", "Transform job stopped")
                    return
                self._transform(storage, job, container, uri, prefix)
        except ContainerFailed as failure:
            raise JobFailed(f"ClientError: {failure.message}") from failure
        finally:
            container.stop()
        job.end("Completed", "Completed", "Transform job completed")

    def _transform(self, storage: Storage, job: Job, container: Container, uri: str, prefix: str) -> None:
        given, wanted = job.request["TransformInput"], job.request["TransformOutput"]
        headers = {"Content-Type": given.get("ContentType", "application/octet-stream")}
        headers["Accept"] = wanted.get("Accept", "*/*")
        content = storage.read(uri) or b""
        by_line = given.get("SplitType") == "Line" and job.request.get("BatchStrategy") == "SingleRecord"
        bodies = content.splitlines() if by_line else [content]
        answers = []
        for body in bodies:
            try:
                status, answer, _ = container.invoke(body, headers)
            except (OSError, http.client.HTTPException) as error:
                raise JobFailed(f"AlgorithmError: No answer for {uri}: {error}") from error
            if not 200 <= status < 300:
                raise JobFailed(f"AlgorithmError: {uri}: ({status}) {answer.decode(errors='replace')[:500]}")
            answers.append(answer)
        joint = b"\n" if wanted.get("AssembleWith") == "Line" else b""
        folder = prefix if prefix.endswith("/") else prefix.rpartition("/")[0] + "/"
        name = f"{wanted['S3OutputPath'].rstrip('/')}/{uri.removeprefix(folder)}.out"
        storage.write(name, joint.join(answers) + joint)
