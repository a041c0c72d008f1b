"""Write every page of the reference into a directory."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.reference_from_code import commands, endpoint_file, errors, events, metrics, settings
from docs.reference_from_code.application import inspect_application, routes_page


def main(directory: Path) -> None:
    """Write the pages."""
    application = inspect_application()
    pages = {
        "settings": settings.page(),
        "endpoint-file": endpoint_file.page(),
        "routes": routes_page(application.openapi),
        "metrics": metrics.page(application.metrics),
        "commands": commands.page(),
        "events": events.page(),
        "errors": errors.page(),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (directory / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
