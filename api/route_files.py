"""Following the routes that the release controller writes, one file a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from enginehouse.errors import RoutesError
from enginehouse.traffic import Routes
from enginehouse.traffic.routes import read_routes

_log = logging.getLogger(__name__)
_SUFFIX = ".json"
#: Time of the last change in ns, inode and size: a renamed file differs in the second.
_Stamp = tuple[int, int, int]


class RouteFiles:
    """The routes of each model, as this adapter applies them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamps: dict[str, _Stamp] = {}
        self._routes: dict[str, Routes] = {}

    @property
    def current(self) -> Mapping[str, Routes]:
        """Model → routes."""
        return self._routes

    def poll(self) -> bool:
        """Read what has changed since the last call; whether anything did.

        It costs a directory listing and a `stat` for each file. A file that cannot be used, or
        is of an older generation than what is known, changes nothing and is logged once.
        """
        found = self._listed()
        changed = False
        for model in self._stamps.keys() - found.keys():
            del self._stamps[model]
            changed |= self._routes.pop(model, None) is not None
        for model, stamp in found.items():
            if self._stamps.get(model) != stamp:
                self._stamps[model] = stamp
                changed |= self._read(model)
        return changed

    def _listed(self) -> dict[str, _Stamp]:
        # What is being replaced may be missing from one listing: what is known is looked up.
        models = {*self._stamps, *self._names()}
        stamps = {model: self._stamp(model) for model in models}
        return {model: stamp for model, stamp in stamps.items() if stamp is not None}

    def _names(self) -> list[str]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except OSError:
            # There are no routes before the controller has written some.
            return []
        # A name that begins with a dot is a file that is being written.
        return [n.removesuffix(_SUFFIX) for n in names if n.endswith(_SUFFIX) and n[0] != "."]

    def _stamp(self, model: str) -> _Stamp | None:
        try:
            at = (self._directory / f"{model}{_SUFFIX}").stat()
        except OSError:
            return None
        return at.st_mtime_ns, at.st_ino, at.st_size

    def _read(self, model: str) -> bool:
        path = self._directory / f"{model}{_SUFFIX}"
        try:
            routes = read_routes(path)
        except (RoutesError, OSError) as error:
            _log.warning("routes of %s stay as they are: %s", model, error)
            return False
        known = self._routes.get(model)
        if routes is None:
            return False
        if routes.model != model:
            _log.warning("%s: these are the routes of %s; they are ignored", path, routes.model)
            return False
        if known is not None and routes.generation < known.generation:
            _log.warning(
                "routes of %s: generation %d is older than %d, which is known; it is ignored",
                model, routes.generation, known.generation,
            )  # fmt: skip
            return False
        self._routes[model] = routes
        return routes != known
