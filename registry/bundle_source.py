"""Bundles of versions from the registry, for the adapter; see `enginehouse.api.bundles`."""

from __future__ import annotations

from collections.abc import Callable

from enginehouse.registry.cache import BundleCache
from enginehouse.registry.store import Registry

from enginehouse.bundle import Bundle
from enginehouse.settings import Settings


def bundle_source(settings: Settings) -> Callable[[str, int], Bundle]:
    """Reads a version's verified copy, which is fetched from the registry if it is not here."""
    cache = BundleCache(settings.cache_dir, Registry(settings))

    def bundle(name: str, version: int) -> Bundle:
        path = cache.path(name, version)
        return Bundle.open(path) if path.exists() else cache.fetch(name, version)

    return bundle
