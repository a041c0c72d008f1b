"""Cache keys: which requests are identical."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import orjson
from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.routing import Route

from enginehouse.manifest import EngineManifest

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
#: The fields of an entry. They are part of the key, so that adapters of two builds that share a
#: store do not read each other's entries.
_SCHEMA = [field.name for kind in (TextChunk, Usage) for field in fields(kind)]


@dataclass(frozen=True, slots=True)
class CacheKey:
    """A question, asked of one version.

    Attributes:
        digest: hash of everything that can change the answer; it does not reveal the text.
    """

    model: str
    version: int
    digest: str


class KeyMaker:
    """Makes keys, and caches the digest of each bundle."""

    def __init__(self, *, shared: bool) -> None:
        """`shared`: whether tenants share answers."""
        self._shared = shared
        self._bundles: dict[tuple[str, int], tuple[EngineManifest, str]] = {}

    def key(self, call: Call, route: Route) -> CacheKey:
        """The key of a question that is routed."""
        target, version = route.revision.target, route.revision.version
        question: list[Any] = [
            _SCHEMA,
            call.ask.endpoint,
            self._bundle(target.model, version, route.revision.manifest),
            route.adapter,
            None if self._shared else (call.tenant or call.caller.tenant),
            call.ask.identity,
            call.messages,
            call.texts,
            call.tools,
            [dict(call.defaults.sampling), call.defaults.max_tokens, call.defaults.tool_format],
        ]
        raw = orjson.dumps(question, option=_OPTIONS)
        return CacheKey(target.model, version, hashlib.blake2b(raw, digest_size=24).hexdigest())

    def _bundle(self, model: str, version: int, manifest: EngineManifest) -> str:
        """Digest of a version's files, including the chat template.

        The version number alone would not be enough: a store may outlive the registry that assigned
        the number.
        """
        known = self._bundles.get((model, version))
        if known is None or known[0] is not manifest:
            raw = manifest.model_dump_json().encode()
            known = manifest, hashlib.blake2b(raw, digest_size=16).hexdigest()
            self._bundles[model, version] = known
        return known[1]
