"""What the registry says of a version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: The version that serves.
CHAMPION = "champion"
#: The version that served before, to go back to.
PREVIOUS = "previous"

#: Tags that we write; everything else is a user's.
TAG_DIGEST = "enginehouse.checkpoint_sha256"
TAG_MANIFEST = "enginehouse.manifest_sha256"
TAG_KIND = "enginehouse.kind"
TAG_RUNTIME = "enginehouse.runtime"
TAG_FORMAT = "enginehouse.weight_format"
TAG_QUALITY = "enginehouse.quality"
TAG_SIZE = "enginehouse.size_bytes"
#: A version's name for people, see `enginehouse.registry.labels`.
TAG_LABEL = "enginehouse.label"
#: Why a version is not to be released any more.
TAG_RETIRED = "enginehouse.retired"
#: The version in another environment or registry that this one is the same as.
TAG_TRANSFERRED = "enginehouse.transferred_from"


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One registered version.

    Attributes:
        name: the served name, without an environment's prefix.
        bundle: where the registry keeps the bundle, as a URI or path.
        run_id: MLflow's run that logged the bundle.
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
        """Its name for people."""
        return self.tags.get(TAG_LABEL)

    @property
    def retired(self) -> str | None:
        """Why it is not to be promoted or released any more; None if it may be."""
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
    """A registered model as it stood at one moment."""

    name: str
    aliases: dict[str, int]
    tags: dict[str, str]
