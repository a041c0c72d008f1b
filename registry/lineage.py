"""What a registration records about a bundle: tags of the version, parameters of its run."""

from __future__ import annotations

from typing import Any

from enginehouse.registry import records

from enginehouse.bundle import Bundle
from enginehouse.digests import sha256_file
from enginehouse.manifest import MANIFEST_NAME, EngineManifest


def lineage_tags(bundle: Bundle) -> dict[str, str]:
    """Tags of a version and of the run that registered it."""
    manifest = bundle.manifest
    return {
        records.TAG_DIGEST: manifest.checkpoint.sha256,
        records.TAG_MANIFEST: sha256_file(bundle.path / MANIFEST_NAME),
        records.TAG_KIND: manifest.kind,
        records.TAG_RUNTIME: f"{manifest.runtime} {manifest.runtime_version}",
        records.TAG_FORMAT: manifest.weight_format,
        records.TAG_QUALITY: manifest.quality.status if manifest.quality else "not_measured",
        records.TAG_SIZE: str(manifest.size_bytes),
    }


def log_parameters(client: Any, run_id: str, manifest: EngineManifest) -> None:
    """Log build arguments and engine settings as parameters of the run."""
    for key, value in manifest.build_arguments.items():
        client.log_param(run_id, f"build.{key}", value)
    for key, value in manifest.engine_settings.model_dump().items():
        client.log_param(run_id, f"engine.{key}", value)
