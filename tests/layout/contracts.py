"""Contract types for import-linter: what a folder may import, and that nothing imports in a circle.

`pyproject.toml` holds the contracts, one for each folder. The table of folders in
`docs/architecture.md` is made from them, see `tests.layout.table`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

from tests.layout.folders import folder_of

_Arrow = tuple[str, str]


class FolderContract(Contract):
    """A folder imports only the folders of `may_import`, and itself.

    Options:
        folder: its name; `core` is `enginehouse/`.
        floor, job, note: for people, see `tests.layout.table`.
        may_import: names of folders; ``*`` allows all.
        no_packages: packages that no module of the folder may import.
        ignore_imports: exceptions, ``module -> module`` with ``*`` as a wildcard; one that
            matches nothing is an error, so that the list cannot go stale.
    """

    type_name = "folder"

    folder = fields.StringField()
    floor = fields.StringField()
    job = fields.StringField()
    note = fields.StringField(required=False, default="")
    may_import = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    no_packages = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    ignore_imports = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - its API
        """See import-linter."""
        del verbose
        found = list(self._broken(graph))
        broken = [arrow for arrow in found if not any(_is(arrow, it) for it in self.ignore_imports)]
        stale = [it for it in self.ignore_imports if not any(_is(arrow, it) for arrow in found)]
        return ContractCheck(
            kept=not broken and not stale,
            metadata={
                "broken": [(*arrow, _lines(graph, arrow)) for arrow in sorted(broken)],
                "stale": stale,
            },
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """See import-linter."""
        for importer, imported, where in check.metadata["broken"]:
            output.print_error(f"{importer} must not import {imported} ({where})")
        for text in check.metadata["stale"]:
            output.print_error(f"ignore_imports: there is no import {text}: remove the line")

    def _broken(self, graph: ImportGraph) -> Iterator[_Arrow]:
        allowed = {self.folder, *self.may_import}
        for module in graph.modules:
            if folder_of(module) != self.folder:
                continue
            for imported in graph.find_modules_directly_imported_by(module):
                there = folder_of(imported)
                if there is None and imported.split(".")[0] in self.no_packages:
                    yield module, imported
                if there is not None and there not in allowed and "*" not in allowed:
                    yield module, imported


class AcyclicContract(Contract):
    """No module imports itself by way of others; imports inside functions count too."""

    type_name = "acyclic"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - its API
        """See import-linter."""
        del verbose
        circles = list(circles_of(graph))
        return ContractCheck(kept=not circles, metadata={"circles": circles})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """See import-linter."""
        for circle in check.metadata["circles"]:
            output.print_error("in a circle: " + " -> ".join(circle))


def circles_of(graph: ImportGraph) -> Iterator[tuple[str, ...]]:
    """A shortest circle for each module that is in one, each circle once."""
    seen: set[str] = set()
    for module in sorted(_entangled(graph)):
        if module in seen:
            continue
        paths = [
            path
            for first in sorted(graph.find_modules_directly_imported_by(module))
            if (path := graph.find_shortest_chain(importer=first, imported=module))
        ]
        if paths:
            shortest = min(paths, key=len)
            seen |= set(shortest)
            yield (module, *shortest)


def _entangled(graph: ImportGraph) -> set[str]:
    """What is left when modules that import nothing of the rest are taken away, over and over."""
    left = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while ground := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in ground:
            del left[module]
    return set(left)


def _is(arrow: _Arrow, text: str) -> bool:
    return fnmatchcase(f"{arrow[0]} -> {arrow[1]}", text)


def _lines(graph: ImportGraph, arrow: _Arrow) -> str:
    details: list[Any] = graph.get_import_details(importer=arrow[0], imported=arrow[1])
    return ", ".join(f"line {each['line_number']}" for each in details)
