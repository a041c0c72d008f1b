"""Records of registered models and versions, and the names of tags and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: The version that serves.
CHAMPION = "champion"
#: The version that served before, for a rollback.
PREVIOUS = "previous"

#: Tags that we write; all others belong to the user.
TAG_DIGEST = "enginehouse.checkpoint_sha256"
TAG_MANIFEST = "enginehouse.manifest_sha256"
TAG_KIND = "enginehouse.kind"
TAG_RUNTIME = "enginehouse.runtime"
TAG_FORMAT = "enginehouse.weight_format"
TAG_QUALITY = "enginehouse.quality"
TAG_SIZE = "enginehouse.size_bytes"
#: A version's label, see `enginehouse.registry.labels`.
TAG_LABEL = "enginehouse.label"
#: Reason why a version is retired and must not be released.
TAG_RETIRED = "enginehouse.retired"
#: The version in another environment or registry that this one was transferred from.
TAG_TRANSFERRED = "enginehouse.transferred_from"


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One registered version.

    Attributes:
        name: the served name, without an environment's prefix.
        bundle: URI or path of the bundle in the registry.
        run_id: the MLflow run that logged the bundle.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    bundle: str
    created: datetime
    tags: dict[str, str]
    run_id: str | None = None

    @property
    def label(self) -> str | None:
        """Label of the version."""
        return self.tags.get(TAG_LABEL)

    @property
    def retired(self) -> str | None:
        """Why the version must not be promoted or released; None if it may be."""
        return self.tags.get(TAG_RETIRED)

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "version": self.version,
            "aliases": list(self.aliases),
            "bundle": self.bundle,
            "created": self.created.isoformat(),
            "tags": self.tags,
        }


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """A registered model at one point in time."""

    name: str
    aliases: dict[str, int]
    tags: dict[str, str]
