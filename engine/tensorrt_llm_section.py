"""Reads the section `tensorrt_llm` of a bundle's manifest."""

from __future__ import annotations

from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from pydantic import ValidationError

from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME, EngineManifest


def settings_in(manifest: EngineManifest) -> TensorRtLlmSettings | None:
    """The section `tensorrt_llm` of a manifest; None if there is none.

    Raises:
        BundleError: if this version does not know a field or a value; names the field.
    """
    if manifest.tensorrt_llm is None:
        return None
    try:
        return TensorRtLlmSettings.model_validate(manifest.tensorrt_llm)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in ("tensorrt_llm", *first["loc"]))
        raise BundleError(
            f"{MANIFEST_NAME} of {manifest.model_name}: field {where!r}: {first['msg']}"
        ) from None
