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


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One registered version.

    Attributes:
        bundle: where the registry keeps the bundle, as a URI or path.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    bundle: str
    created: datetime
    tags: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "version": self.version,
            "aliases": list(self.aliases),
            "bundle": self.bundle,
            "created": self.created.isoformat(),
            "tags": self.tags,
        }
