"""``model:adapter``: a LoRA adapter of a model's bundle, asked for by name."""

from __future__ import annotations

from enginehouse.api.directory import ModelDirectory, Revision

from enginehouse.errors import ModelNotFoundError

_SEPARATOR = ":"


async def find(directory: ModelDirectory, name: str) -> tuple[Revision, str | None]:
    """The revision that serves, and the adapter or None.

    Raises:
        ModelNotFoundError: naming the models or adapters that there are.
    """
    model, separator, adapter = name.partition(_SEPARATOR)
    revision = await directory.revision(model)
    if not separator:
        return revision, None
    known = names(revision)
    if adapter not in known:
        raise ModelNotFoundError(
            f"the model {model!r} has no adapter {adapter!r}; adapters here: "
            f"{', '.join(known) or 'none'}",
            field="model",
        )
    return revision, adapter


def names(revision: Revision) -> list[str]:
    """Adapters of a revision."""
    return [adapter.name for adapter in revision.manifest.adapters]
