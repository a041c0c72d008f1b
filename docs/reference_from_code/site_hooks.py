"""Pages of the site that do not lie in `docs/`: the reference, and four files of the root.

mkdocs calls `on_files`, see its "Hooks". The reference was written into `.scratch/reference` by
`python -m docs.reference_from_code` before.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[2]
_REFERENCE = _ROOT / ".scratch" / "reference"
_OF_THE_ROOT = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_LINK = re.compile(r"\]\(([^)#:]+\.md)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for path in sorted(_REFERENCE.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        files.append(File.generated(config, f"reference/{path.name}", content=text))
    for name in _OF_THE_ROOT:
        text = _LINK.sub(_moved, (_ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, f"project/{name.lower()}", content=text))
    return files


def _moved(link: re.Match[str]) -> str:
    """A link of a file of the root, as `project/` needs it."""
    target = link[1]
    inside = target.removeprefix("docs/")
    place = f"../{inside}" if target != inside else target.lower()
    return f"]({place}{link[2] or ''})"
