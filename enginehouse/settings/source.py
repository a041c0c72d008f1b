"""All groups of settings as one model of pydantic-settings, and the source that fills it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from enginehouse.settings.group_values import refusals, values_of
from enginehouse.settings.groups import (
    ClientSettings,
    MeasurementSettings,
    SuiteSettings,
)
from enginehouse.settings.process import Settings


class AllSettings(BaseSettings):
    """Every group of settings, those of the stack and those that others read."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    stack: Settings
    client: ClientSettings
    measurement: MeasurementSettings
    suite: SuiteSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what is passed in: the process's own environment is never read unasked."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class MappingSource(PydanticBaseSettingsSource):
    """Variables of a mapping; names are flat, while groups are nested."""

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(AllSettings)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The values of a group; see pydantic-settings."""
        return values_of(field.annotation, self._given), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of all groups."""
        fields = self.settings_cls.model_fields
        return {name: self.get_field_value(field, name)[0] for name, field in fields.items()}


def read_environment(
    default: Mapping[str, str], given: Mapping[str, str], refused: dict[str, str]
) -> AllSettings:
    """Read all groups.

    Args:
        default: variables that have a value where none is given.
        refused: gets a sentence for each variable with a wrong value, which then has its default.
    """
    try:
        return AllSettings(**MappingSource({**default, **given})())
    except ValidationError as error:
        refused |= refusals(error, given)
    usable = {name: value for name, value in given.items() if name not in refused}
    return AllSettings(**MappingSource({**default, **usable})())
