"""Engine settings of this host, over those of the bundle."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from enginehouse.errors import SettingsError
from enginehouse.manifest import EngineSettings

_PREFIX = "ENGINEHOUSE_ENGINE_"


def override_settings(settings: EngineSettings, environ: Mapping[str, str]) -> EngineSettings:
    """Apply ``ENGINEHOUSE_ENGINE_<FIELD>``, for example ``ENGINEHOUSE_ENGINE_MAX_BATCH=32``.

    Raises:
        SettingsError: naming a variable that is no setting, or whose value cannot be used.
    """
    changes: dict[str, str] = {}
    for key, value in environ.items():
        if key.startswith(_PREFIX) and value:
            field = key.removeprefix(_PREFIX).lower()
            if field not in EngineSettings.model_fields:
                known = ", ".join(_PREFIX + name.upper() for name in EngineSettings.model_fields)
                raise SettingsError(f"{key} is no engine setting; there are {known}")
            changes[field] = value
    try:
        return EngineSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise SettingsError(
            f"{_PREFIX}{field.upper()}={changes.get(field)!r}: {first['msg']}"
        ) from None
