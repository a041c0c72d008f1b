"""Where the adapter gets the bundles of the versions that it serves.

The registry's package offers them under an entry point of the group ``enginehouse.bundles``; the
adapter imports no registry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points

from enginehouse.api.revision import Revision, Served
from enginehouse.client import Target

from enginehouse.bundle import Bundle
from enginehouse.errors import SettingsError
from enginehouse.settings import Settings
from enginehouse.text import ChatTemplate, Tokenizer

GROUP = "enginehouse.bundles"
#: A version's bundle; blocks, and raises RegistryError or BundleError if there is no usable one.
BundleSource = Callable[[str, int], Bundle]
#: A version, ready to be spoken to; blocks, and raises EnginehouseError.
VersionOpener = Callable[[str, int], Served]


def open_versions(settings: Settings) -> VersionOpener:
    """Reads versions' bundles from the installed source.

    Raises:
        SettingsError: if none is installed, or it cannot be used.
    """
    sources = list(entry_points(group=GROUP))
    if not sources:
        raise SettingsError(
            f"no package offers bundles (entry points of the group {GROUP!r}): install "
            "enginehouse with its registry"
        )
    make: Callable[[Settings], BundleSource] = sources[0].load()
    return partial(open_served, make(settings))


def open_served(source: BundleSource, name: str, version: int) -> Served:
    """Read a version's bundle. Blocks.

    Raises:
        RegistryError, BundleError: if there is no usable bundle.
    """
    bundle = source(name, version)
    if bundle.manifest.embedding is not None:
        return Served(Target(name, version), bundle.manifest)
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    # Now, so that no request waits for what is only made when it is needed.
    tokenizer.encode("")
    special = bundle.manifest.special_tokens
    template = ChatTemplate(
        bundle.chat_template,
        tokenizer,
        bos_token="" if special.bos_id is None else tokenizer.token_text(special.bos_id),
        eos_token=tokenizer.token_text(special.end_ids[0]),
    )
    return Revision(Target(name, version), bundle.manifest, tokenizer, template)
