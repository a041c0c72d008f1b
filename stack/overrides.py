"""Overrides of the bundle's engine settings on this host."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from enginehouse.errors import SettingsError
from enginehouse.manifest import EngineSettings
from enginehouse.settings import ENGINE_PREFIX, read_engine_overrides


def override_settings(settings: EngineSettings, environ: Mapping[str, str]) -> EngineSettings:
    """Apply ``ENGINEHOUSE_ENGINE_<FIELD>``, for example ``ENGINEHOUSE_ENGINE_MAX_BATCH=32``.

    Raises:
        SettingsError: names each variable that is not a setting, or whose value is invalid.
    """
    changes = read_engine_overrides(environ)
    try:
        return EngineSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise SettingsError(
            f"{ENGINE_PREFIX}{field.upper()}={changes.get(field)!r}: {first['msg']}"
        ) from None
