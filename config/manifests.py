"""``make manifests``: the InferenceServices of the declared pipelines as files, for whoever applies them by GitOps.

The same declarations and versions give the same bytes. A pipeline is written as KServe would have it after promotion:
what is on the way there, the share of a canary, is the target's to say and nobody's to commit.
"""

from __future__ import annotations

from pathlib import Path

from config.environment import Site
from include.declaration import KServeTarget, Pipeline
from include.declaration.loader import get_pipeline, load_pipelines
from include.deployment.kserve.manifest import Manifest, build_manifest
from include.deployment.kserve.schema import KSERVE_RELEASE, check_manifest
from include.deployment.served import rebuild_pointer
from include.errors import DeclarationError
from include.records import write_file_atomically
from include.settings import Settings

# What a pipeline of another target is written with: a reader sees what to put in their place.
_EXAMPLE = KServeTarget(namespace="models", storage_prefix="s3://your-bucket/models")


def write_manifests(site: Site, folder: Path, pipeline_name: str, version: str) -> str:
    """Write them below ``folder`` and say which; all of target kserve, or the one named, whatever its target is.

    ``version`` is the one to serve, empty: what the ledger says is served. Raises DeclarationError when there is none
    to write, TargetRefused when KServe's schema does not take one.
    """
    chosen = _choose(site.settings, pipeline_name)
    lines = []
    for pipeline in chosen:
        manifest = _build(site.settings, pipeline, version)
        path = folder / f"{manifest['metadata']['name']}.yaml"
        write_file_atomically(path, dump_manifest(manifest).encode())
        shown = manifest["spec"]["predictor"]["labels"]["tollgate/version"]
        told = (
            "" if isinstance(pipeline.deployment.target, KServeTarget) else " (with an example's namespace and bucket)"
        )
        lines.append(f"{path}: version {shown} of {pipeline.name}{told}")
    lines.append(f"Checked against the schema of KServe {KSERVE_RELEASE}. Apply with: kubectl apply -f {folder}")
    return "\n".join(lines)


def dump_manifest(manifest: Manifest) -> str:
    """One manifest as YAML, its fields in the order of their names."""
    import yaml

    return yaml.safe_dump(manifest, sort_keys=True, default_flow_style=False, width=120)


def _choose(settings: Settings, pipeline_name: str) -> list[Pipeline]:
    if pipeline_name:
        return [get_pipeline(settings, pipeline_name)]
    declared = load_pipelines(settings).pipelines.values()
    chosen = [pipeline for pipeline in declared if isinstance(pipeline.deployment.target, KServeTarget)]
    if not chosen:
        raise DeclarationError(
            "No declared pipeline has a deployment.target of kind kserve.",
            next_step="Declare KServeTarget(...), or name one to see it: make manifests PIPELINE=flight_delays.",
            pipeline="",
            place="deployment.target",
            source=str(settings.pipelines_path),
        )
    return chosen


def _build(settings: Settings, pipeline: Pipeline, version: str) -> Manifest:
    target = pipeline.deployment.target
    if not version:
        served = rebuild_pointer(settings, pipeline.name)
        if served is None:
            raise DeclarationError(
                f"Nothing of {pipeline.name} has been deployed yet, so there is no version to write.",
                next_step=f"Name one: make manifests PIPELINE={pipeline.name} VERSION=1.",
                pipeline=pipeline.name,
                place="VERSION",
                source=pipeline.folder,
            )
        version = served.version
    if not isinstance(target, KServeTarget):
        target = _EXAMPLE
    manifest = build_manifest(pipeline, target, version)
    check_manifest(manifest)
    return manifest
