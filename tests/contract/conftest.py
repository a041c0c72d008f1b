from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from enginehouse.engine.tensorrt_llm import TensorRtLlmRuntime
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.bundle import CHAT_TEMPLATE_FILE, ENGINE_DIR, TOKENIZER_FILE, Bundle
from enginehouse.host import host_fingerprint
from enginehouse.manifest import (
    MANIFEST_NAME,
    EngineManifest,
    EngineSettings,
    GenerationDefaults,
    SpecialTokens,
)
from tests.contract.stand_in import VERSIONS, write_gpus, write_stand_in
from tests.default_model import DefaultModel, default_model

#: Makes a bundle of these settings in a directory.
MakeBundle = Callable[[TensorRtLlmSettings], Bundle]
#: Loads one with the stand-in of its series.
LoadRuntime = Callable[[TensorRtLlmSettings], TensorRtLlmRuntime]


@pytest.fixture(scope="session")
def checkpoint() -> DefaultModel:
    """The default model's facts, for a real vocabulary."""
    return default_model()


@pytest.fixture
def make_bundle(tmp_path: Path, checkpoint: DefaultModel) -> MakeBundle:

    def make(settings: TensorRtLlmSettings) -> Bundle:
        root = tmp_path / "bundle"
        (root / ENGINE_DIR).mkdir(parents=True)
        (root / TOKENIZER_FILE).write_text(checkpoint.tokenizer_json, encoding="utf-8")
        (root / CHAT_TEMPLATE_FILE).write_text("{{ messages }}", encoding="utf-8")
        manifest = EngineManifest(
            model_name="standin",
            runtime="tensorrt_llm",
            runtime_version=VERSIONS[settings.version],
            built_at=datetime.now(UTC),
            built_on=host_fingerprint(),
            architecture=checkpoint.architecture,
            weight_format="fp16",
            context_length=8192,
            max_batch=settings.limits.max_batch_size,
            special_tokens=SpecialTokens(bos_id=1, end_ids=(2,), pad_id=0, add_bos=False),
            generation_defaults=GenerationDefaults(),
            engine_settings=EngineSettings(),
            tensorrt_llm=settings.model_dump(mode="json"),
            checkpoint=checkpoint.checkpoint,
            build_arguments={},
            tool_versions={},
            tokenizer_check={},
            files=(),
        )
        (root / MANIFEST_NAME).write_text(manifest.model_dump_json(), encoding="utf-8")
        return Bundle.open(root)

    return make


@pytest.fixture
def load_runtime(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoadRuntime]:
    loaded: list[TensorRtLlmRuntime] = []

    def load(settings: TensorRtLlmSettings) -> TensorRtLlmRuntime:
        write_stand_in(tmp_path / "site", settings.version)
        write_gpus(tmp_path / "bin", settings.parallel.world_size)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        monkeypatch.syspath_prepend(tmp_path / "site")
        forget_stand_in()
        bundle = make_bundle(settings)
        loaded.append(TensorRtLlmRuntime(bundle, bundle.manifest.engine_settings))
        return loaded[-1]

    yield load
    for runtime in loaded:
        runtime.close()
    forget_stand_in()


def forget_stand_in() -> None:
    """Let the next import find another series."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorrt_llm"]:
        del sys.modules[name]
    importlib.invalidate_caches()
