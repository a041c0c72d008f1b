"""The model repository on disk: which versions of which models Triton may load.

Every file is written beside its place and renamed, so Triton never reads half a file.
"""

from __future__ import annotations

import os
import py_compile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from enginehouse.model_repository import config as configs
from enginehouse.model_repository.layout import SETTINGS_FILE, link_bundle

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings
from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part

_PARTS = (PREPROCESSING, TENSORRT_LLM, POSTPROCESSING)


class ModelRepository:
    """Writer of one repository directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def add_version(
        self, model: str, version: int, bundle: Bundle, settings: EngineSettings
    ) -> None:
        """Put a version's directories in place; nothing loads it yet."""
        for suffix in _PARTS:
            version_dir = self.root / part(model, suffix) / str(version)
            link_bundle(version_dir, bundle)
            if suffix == TENSORRT_LLM:
                _replace(version_dir / SETTINGS_FILE, settings.model_dump_json())
            source = files("enginehouse.model_repository").joinpath(suffix, "model.py")
            model_file = version_dir / "model.py"
            _replace(model_file, source.read_text("utf-8"))
            # Compiled by the stub, it would change the directory, and Triton would load again.
            py_compile.compile(str(model_file), doraise=True)

    def set_versions(self, model: str, versions: Sequence[int]) -> None:
        """Write which versions of the parts are to be loaded."""
        for suffix, config in (
            (PREPROCESSING, configs.preprocessing_config(model, versions)),
            (TENSORRT_LLM, configs.engine_config(model, versions)),
            (POSTPROCESSING, configs.postprocessing_config(model, versions)),
        ):
            self._write_config(part(model, suffix), config)

    def point_alias(self, name: str, model: str, version: int) -> None:
        """Pin the ensemble `name` to a version of `model`."""
        # Triton wants a version directory, and an ensemble has nothing to put in it.
        (self.root / name / "1").mkdir(parents=True, exist_ok=True)
        self._write_config(name, configs.ensemble_config(name, model, version))

    def _write_config(self, name: str, config: Any) -> None:
        directory = self.root / name
        directory.mkdir(parents=True, exist_ok=True)
        _replace(directory / "config.pbtxt", configs.render(config))


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
