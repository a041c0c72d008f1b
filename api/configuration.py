"""The endpoint's file: one section for each stage, all of them optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from enginehouse.api.registration import NoConfiguration, Registration
from pydantic import BaseModel, ConfigDict, create_model

from enginehouse.errors import SettingsError, SpecError
from enginehouse.settings import Settings
from enginehouse.specifications import checked, read_yaml


def endpoint_model(stages: Sequence[Registration]) -> type[BaseModel]:
    """The model of ``endpoint.yaml``: a section for each stage that has a configuration."""
    sections: dict[str, Any] = {
        stage.name: (stage.configuration, stage.configuration())
        for stage in stages
        if stage.configuration is not NoConfiguration
    }
    return create_model(
        "EndpointFile", __config__=ConfigDict(extra="forbid", frozen=True), **sections
    )


def load_sections(settings: Settings, stages: Sequence[Registration]) -> dict[str, BaseModel]:
    """The configuration of each stage, by its name; by default where the file says nothing.

    Raises:
        SettingsError: naming the file, the field and its value.
    """
    model = endpoint_model(stages)
    path = settings.endpoint_file
    if settings.endpoint.file is None and not path.exists():
        loaded = model()
    else:
        try:
            # An empty file has no sections.
            loaded = checked(model, read_yaml(path) or {}, str(path))
        except SpecError as error:
            raise SettingsError(str(error)) from None
    return {stage.name: getattr(loaded, stage.name, NoConfiguration()) for stage in stages}
