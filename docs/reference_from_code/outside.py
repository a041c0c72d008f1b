"""Fail if a built page loads something from another host: `python -m … SITE`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

#: What a browser fetches by itself; links that a reader follows are not among it.
_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
)
_IN_CSS = re.compile(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)")


def outside(site: Path) -> list[str]:
    """Each address with its page."""
    found = []
    for path in sorted(site.rglob("*")):
        pattern = {".html": _LOADED, ".css": _IN_CSS, ".svg": _IN_CSS}.get(path.suffix)
        matches = pattern.finditer(path.read_text(encoding="utf-8")) if pattern else ()
        found += [
            f"{path.relative_to(site)}: {next(filter(None, one.groups()))}" for one in matches
        ]
    return found


def main(site: Path) -> int:
    """Print each address; the exit status is 1 if there is one."""
    found = outside(site)
    for line in found:
        sys.stderr.write(f"{line} is loaded from another host\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
