"""The files in a version's directory of a rendered model."""

from __future__ import annotations

from pathlib import Path

from enginehouse.manifest import EngineSettings

_BUNDLE_LINK = "bundle"
SETTINGS_FILE = "engine_settings.json"


def bundle_dir(version_dir: Path) -> Path:
    """The bundle directory of a version, which is linked from the version's directory."""
    return (version_dir / _BUNDLE_LINK).resolve()


def link_bundle(version_dir: Path, bundle: Path) -> None:
    """Link a version's directory to a bundle; an existing link to it is left unchanged."""
    version_dir.mkdir(parents=True, exist_ok=True)
    link = version_dir / _BUNDLE_LINK
    if link.is_symlink() and link.readlink() == bundle:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(bundle, target_is_directory=True)


def engine_settings(version_dir: Path) -> EngineSettings:
    """The engine settings of one version. Each version has its own file."""
    return EngineSettings.model_validate_json((version_dir / SETTINGS_FILE).read_bytes())
