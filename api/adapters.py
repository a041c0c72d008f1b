"""``model:adapter``: a LoRA adapter of a model's bundle, asked for by name."""

from __future__ import annotations

from enginehouse.api.directory import ModelDirectory, Revision, Served

from enginehouse.errors import ModelNotFoundError

_SEPARATOR = ":"


async def find(directory: ModelDirectory, name: str) -> tuple[Revision, str | None]:
    """The revision that serves, and the adapter or None.

    Raises:
        ModelNotFoundError: naming the models or adapters that there are.
    """
    model, separator, adapter = name.partition(_SEPARATOR)
    revision = await directory.revision(model)
    return revision, _known(revision, adapter) if separator else None


async def find_served(directory: ModelDirectory, name: str) -> tuple[Served, str | None]:
    """The same for a model of any kind.

    Raises:
        ModelNotFoundError: naming the models or adapters that there are.
    """
    model, separator, adapter = name.partition(_SEPARATOR)
    served = await directory.served(model)
    return served, _known(served, adapter) if separator else None


def _known(served: Served, adapter: str) -> str:
    known = names(served)
    if adapter not in known:
        raise ModelNotFoundError(
            f"the model {served.target.model!r} has no adapter {adapter!r}; adapters here: "
            f"{', '.join(known) or 'none'}",
            field="model",
        )
    return adapter


def names(revision: Served) -> list[str]:
    """Adapters of a revision."""
    return [adapter.name for adapter in revision.manifest.adapters]
