"""The MLflow registry: versions, aliases, and verified local copies of bundles."""

from enginehouse.registry.cache import BundleCache
from enginehouse.registry.records import CHAMPION, PREVIOUS, VersionRecord
from enginehouse.registry.store import Registry

__all__ = ["CHAMPION", "PREVIOUS", "BundleCache", "Registry", "VersionRecord"]
