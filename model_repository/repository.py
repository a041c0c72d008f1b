"""Writes the model repository on disk, which says what versions of what models Triton can load.

Every file is written to a temporary name and renamed, so that Triton never reads a partial file.
"""

from __future__ import annotations

import os
import py_compile
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from enginehouse.engine.tensorrt_llm_section import settings_in
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from enginehouse.model_repository import config as configs
from enginehouse.model_repository import whole_config
from enginehouse.model_repository.alias_names import AliasNames
from enginehouse.model_repository.layout import (
    SETTINGS_FILE,
    bundle_dir,
    engine_settings,
    link_bundle,
)
from enginehouse.model_repository.tensorrtllm_backend_config import BACKEND, tensorrtllm_config

from enginehouse.bundle import ENGINE_DIR, Bundle
from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME, EngineSettings, read_manifest
from enginehouse.names import EMBEDDING, POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, WHOLE, part

_PARTS = (PREPROCESSING, TENSORRT_LLM, POSTPROCESSING)


class ModelRepository:
    """Writes one repository directory."""

    def __init__(self, root: Path, names: AliasNames | None = None) -> None:
        """Create the directory if it does not exist.

        Args:
            root: the repository directory.
            names: names to serve beside the parts.
        """
        self.root = root
        self.names = names or AliasNames()
        root.mkdir(parents=True, exist_ok=True)

    def add_version(
        self, model: str, version: int, bundle: Bundle, settings: EngineSettings
    ) -> None:
        """Write the directories of a version. Triton does not load them until `set_versions`."""
        parts = {suffix: part(model, suffix) for suffix in _PARTS}
        if bundle.manifest.embedding is not None:
            parts = {EMBEDDING: model}
        for suffix, name in parts.items():
            version_dir = self.root / name / str(version)
            if suffix in {TENSORRT_LLM, EMBEDDING}:
                version_dir.mkdir(parents=True, exist_ok=True)
                _replace(version_dir / SETTINGS_FILE, settings.model_dump_json())
            self._write_model(version_dir, suffix, bundle.path)

    def set_versions(self, model: str, versions: Sequence[int]) -> None:
        """Set the versions of the parts that Triton loads.

        Raises:
            BundleError: if several versions would need NVIDIA's C++ backend at once.
        """
        for suffix, config in (
            (PREPROCESSING, configs.preprocessing_config(part(model, PREPROCESSING), versions)),
            (TENSORRT_LLM, self._engine_config(model, versions)),
            (POSTPROCESSING, configs.postprocessing_config(part(model, POSTPROCESSING), versions)),
        ):
            self._write_config(part(model, suffix), config)

    def set_embedding_versions(self, model: str, versions: Sequence[int]) -> None:
        """Set the versions of an embedding model that Triton loads."""
        self._write_config(model, configs.embedding_config(model, versions))

    def point_alias(self, name: str, model: str, version: int) -> None:
        """Pin the ensemble `name` to a version of `model`."""
        self._write_ensemble(name, configs.ensemble_config(name, model, version))
        if name != model:
            return
        pin = whole_config.Pin(model, version, self._most_under_way(model, version))
        if self.names.unary:
            self._write_calling(part(model, WHOLE), whole_config.whole_config(pin))
        if model == self.names.compat_model:
            self._point_bare_names(pin)

    def _point_bare_names(self, pin: whole_config.Pin) -> None:
        """Write the models with NVIDIA's names.

        Pre- and postprocessing are instances of their own. The engine is the same one, called
        through an ensemble.
        """
        model, version = pin.model, pin.version
        for suffix, config in (
            (PREPROCESSING, configs.preprocessing_config(PREPROCESSING, [version])),
            (POSTPROCESSING, configs.postprocessing_config(POSTPROCESSING, [version])),
        ):
            source = self.root / part(model, suffix) / str(version)
            self._write_model(self.root / suffix / str(version), suffix, bundle_dir(source))
            self._write_config(suffix, config)
        decoupled = self.names.compat_decoupled
        ensemble = whole_config.COMPAT_ENSEMBLE
        if decoupled:
            self._write_ensemble(TENSORRT_LLM, configs.compat_engine_config(model, version))
            self._write_ensemble(ensemble, configs.ensemble_config(ensemble, model, version))
        else:
            self._write_calling(TENSORRT_LLM, whole_config.unary_engine_config(pin))
            self._write_ensemble(ensemble, whole_config.unary_ensemble_config(pin))
        self._write_calling(
            whole_config.COMPAT_BLS, whole_config.bls_config(pin, decoupled=decoupled)
        )

    def _most_under_way(self, model: str, version: int) -> int:
        """The number of requests that the engine accepts, in batch and queue."""
        settings = engine_settings(self.root / part(model, TENSORRT_LLM) / str(version))
        return (settings.max_batch + settings.max_queue) * settings.instances

    def _write_ensemble(self, name: str, config: Any) -> None:
        """Write an ensemble. Triton requires a version directory, which is empty."""
        (self.root / name / "1").mkdir(parents=True, exist_ok=True)
        self._write_config(name, config)

    def _write_calling(self, name: str, config: Any) -> None:
        """Write a model that calls the parts. Its configuration names them; it has no bundle."""
        version_dir = self.root / name / "1"
        version_dir.mkdir(parents=True, exist_ok=True)
        self._write_source(version_dir, WHOLE)
        self._write_config(name, config)

    def _write_model(self, version_dir: Path, suffix: str, bundle: Path) -> None:
        link_bundle(version_dir, bundle)
        self._write_source(version_dir, suffix)

    def _write_source(self, version_dir: Path, suffix: str) -> None:
        source = files("enginehouse.model_repository").joinpath(suffix, "model.py")
        model_file = version_dir / "model.py"
        # If the stub compiled the file, the directory would change and Triton would load it again.
        if _replace(model_file, source.read_text("utf-8")) or not _is_compiled(model_file):
            py_compile.compile(str(model_file), doraise=True)

    def _engine_config(self, model: str, versions: Sequence[int]) -> Any:
        """The engine's configuration: the Python runtime, or the backend that a manifest names."""
        native = {
            version: settings
            for version in versions
            if (settings := self._native_settings(model, version)) is not None
        }
        if not native:
            return configs.engine_config(model, versions, self._instances(model, versions))
        if len(versions) > 1:
            raise BundleError(
                f"{model}: versions {sorted(versions)} cannot be loaded together: NVIDIA's backend "
                "'tensorrtllm' has one engine a model; build with backend 'python' to release "
                "version by version"
            )
        version, settings = next(iter(native.items()))
        version_dir = self.root / part(model, TENSORRT_LLM) / str(version)
        engine_dir = str(version_dir / "bundle" / ENGINE_DIR)
        queue = engine_settings(version_dir).max_queue
        return tensorrtllm_config(model, version, settings, engine_dir, queue)

    def _instances(self, model: str, versions: Sequence[int]) -> int:
        """The largest number of instances of any version; Triton has one number for all of them."""
        directories = [self.root / part(model, TENSORRT_LLM) / str(v) for v in versions]
        return max(
            (engine_settings(d).instances for d in directories if (d / SETTINGS_FILE).is_file()),
            default=1,
        )

    def _native_settings(self, model: str, version: int) -> TensorRtLlmSettings | None:
        bundle = bundle_dir(self.root / part(model, TENSORRT_LLM) / str(version))
        if not (bundle / MANIFEST_NAME).is_file():
            return None
        settings = settings_in(read_manifest(bundle))
        return settings if settings is not None and settings.backend == BACKEND else None

    def _write_config(self, name: str, config: Any) -> None:
        directory = self.root / name
        directory.mkdir(parents=True, exist_ok=True)
        _replace(directory / "config.pbtxt", configs.render(config))


def _is_compiled(model_file: Path) -> bool:
    return Path(cache_from_source(str(model_file))).is_file()


def _replace(path: Path, text: str) -> bool:
    """Write a file atomically; return whether it was written.

    A file with the same content is left unchanged, because Triton reloads a version whose directory
    has changed, for example when a restarted controller writes it again.
    """
    if path.is_file() and path.read_text("utf-8") == text:
        return False
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
    return True
