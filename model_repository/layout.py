"""Where things lie inside a rendered model, and how settings travel in its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from enginehouse.manifest import EngineSettings

_BUNDLE_LINK = "bundle"
SETTINGS_PARAMETER = "enginehouse_engine_settings"


def bundle_dir(version_dir: Path) -> Path:
    """The bundle of a version: a link in its directory, resolved."""
    return (version_dir / _BUNDLE_LINK).resolve()


def link_bundle(version_dir: Path, bundle: Path) -> None:
    """Make `version_dir` point at a bundle."""
    version_dir.mkdir(parents=True, exist_ok=True)
    link = version_dir / _BUNDLE_LINK
    link.unlink(missing_ok=True)
    link.symlink_to(bundle, target_is_directory=True)


def engine_settings(config: dict[str, Any]) -> EngineSettings:
    """Engine settings from a model configuration in JSON form, as Triton hands it to a stub."""
    value = config["parameters"][SETTINGS_PARAMETER]["string_value"]
    return EngineSettings.model_validate(json.loads(value))
