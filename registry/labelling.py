"""Giving a version its label, and taking the label off."""

from __future__ import annotations

from enginehouse.registry.labels import Label, check_free
from enginehouse.registry.records import TAG_LABEL
from enginehouse.registry.store import Registry

from enginehouse.errors import ConflictError


def set_label(registry: Registry, name: str, version: int, text: str) -> Label:
    """Give a version its label; one that it had before goes.

    Raises:
        NotRegisteredError: if there is no such version.
        ConflictError: if another version has it.
        RegistryError: if the label cannot be read, or the registry does not answer.
    """
    label = Label.parse(text)
    record = registry.version(name, version)
    check_free(registry, name, label, version)
    registry.set_version_tag(name, version, TAG_LABEL, label.text)
    try:
        # MLflow has no compare-and-set: of two who ask at once, both see it and one gives way.
        check_free(registry, name, label, version)
    except ConflictError:
        if record.label:
            registry.set_version_tag(name, version, TAG_LABEL, record.label)
        else:
            registry.delete_version_tag(name, version, TAG_LABEL)
        raise
    return label


def remove_label(registry: Registry, name: str, version: int) -> None:
    """Take a version's label off; nothing happens if it has none.

    Raises:
        NotRegisteredError: if there is no such version.
        RegistryError: if the registry does not answer.
    """
    registry.delete_version_tag(name, version, TAG_LABEL)
