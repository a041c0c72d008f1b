"""Sets and removes a version's label."""

from __future__ import annotations

from enginehouse.registry.labels import Label, check_free
from enginehouse.registry.records import TAG_LABEL
from enginehouse.registry.store import Registry

from enginehouse.errors import ConflictError


def set_label(registry: Registry, name: str, version: int, text: str) -> Label:
    """Set a version's label; it replaces an earlier one.

    Raises:
        NotRegisteredError: if there is no such version.
        ConflictError: if another version has the label.
        RegistryError: if the label is invalid, or the registry does not answer.
    """
    label = Label.parse(text)
    record = registry.version(name, version)
    check_free(registry, name, label, version)
    registry.set_version_tag(name, version, TAG_LABEL, label.text)
    try:
        # MLflow has no compare-and-set: check again, and undo if another writer was faster.
        check_free(registry, name, label, version)
    except ConflictError:
        if record.label:
            registry.set_version_tag(name, version, TAG_LABEL, record.label)
        else:
            registry.delete_version_tag(name, version, TAG_LABEL)
        raise
    return label


def remove_label(registry: Registry, name: str, version: int) -> None:
    """Remove a version's label; does nothing if it has none.

    Raises:
        NotRegisteredError: if there is no such version.
        RegistryError: if the registry does not answer.
    """
    registry.delete_version_tag(name, version, TAG_LABEL)
