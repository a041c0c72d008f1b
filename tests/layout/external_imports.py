"""Which packages from elsewhere each module imports, as JSON; run where the tree is one folder.

A process of its own: grimp asks Python where the package is, which has imported it already here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import grimp

from tests.layout.folders import PACKAGE, folder_of


def main(tree: Path) -> None:
    """Print module → packages, imports inside functions too."""
    sys.path.insert(0, str(tree))
    graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
    found = {
        module: sorted(
            {
                top
                for imported in graph.find_modules_directly_imported_by(module)
                if (top := imported.split(".")[0]) not in {PACKAGE, *sys.stdlib_module_names}
            }
        )
        for module in graph.modules
        if folder_of(module) is not None
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
