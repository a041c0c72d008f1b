"""The pages speak of what exists: files of the tree, pages, headings, variables and metrics."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(
    [*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
#: Folders of the tree; a name in code that begins with one of them is a path of the tree.
_FOLDERS = {path.name for path in _ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
_PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?|[\w-]+/")
#: Pages that `make docs` writes.
_GENERATED = re.compile(r"docs/reference/[a-z-]+\.md")


def _prose(path: Path) -> str:
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def _anchors(path: Path) -> set[str]:
    """Headings as mkdocs and GitHub name them, for letters, digits and hyphens."""
    found = set()
    for heading in _HEADING.findall(_prose(path)):
        plain = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading)
        text = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()))
    return found


def _name(path: Path) -> str:
    return path.relative_to(_ROOT).as_posix()


def _broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(_prose(page)):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        path = (page.parent / target).resolve() if target else page
        if _GENERATED.fullmatch(path.relative_to(_ROOT).as_posix()):
            continue
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            yield link


def _missing_paths(page: Path) -> Iterator[str]:
    for code in _CODE.findall(_prose(page)):
        if not _PATH.fullmatch(code):
            continue
        ours = code.split("/")[0] in _FOLDERS or code.endswith(".py")
        if ours and not any(_ROOT.glob(code.rstrip("/"))):
            yield code


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_every_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    assert list(_broken_links(page)) == []


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_every_path_that_a_page_names_is_in_the_tree(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    assert list(_missing_paths(page)) == []


def test_a_page_that_speaks_of_what_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Head\n`api/nowhere.py` and `text/nowhere.py`, `api/errors.py`, `a/b`\n")
    assert list(_missing_paths(page)) == ["api/nowhere.py", "text/nowhere.py"]


def test_every_page_is_in_the_navigation_and_on_the_first_page() -> None:
    navigation = (_ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    first = (_ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [path.relative_to(_ROOT / "docs").as_posix() for path in _PAGES if "docs" in path.parts]
    assert [page for page in pages if f" {page}\n" not in navigation] == []
    of_the_first = [
        page for page in pages if not page.startswith("decisions/0") and page != "index.md"
    ]
    assert [page for page in of_the_first if f"({page})" not in first] == []


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
