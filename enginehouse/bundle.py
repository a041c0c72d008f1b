"""An engine bundle on disk: its layout and its verification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enginehouse.digests import sha256_file
from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME, BundleFile, EngineManifest, read_manifest

ENGINE_DIR = "engine"
TOKENIZER_FILE = "tokenizer.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle directory with a parsed manifest."""

    path: Path
    manifest: EngineManifest

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read the manifest; `verify` checks the contents.

        Raises:
            BundleError: if `path` is not a bundle.
        """
        return cls(path=path, manifest=read_manifest(path))

    @property
    def engine_dir(self) -> Path:
        """Directory of the runtime's files."""
        return self.path / ENGINE_DIR

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer, in the format of the `tokenizers` library."""
        return self.path / TOKENIZER_FILE

    @property
    def chat_template(self) -> str:
        """Source of the Jinja chat template."""
        return (self.path / CHAT_TEMPLATE_FILE).read_text(encoding="utf-8")

    @property
    def card(self) -> str:
        """The model card, in Markdown."""
        return (self.path / CARD_FILE).read_text(encoding="utf-8")

    def verify(self) -> None:
        """Compare every file's size and sha256 with the manifest.

        Raises:
            BundleError: names the first file that is missing, changed or not listed.
        """
        listed = {file.path: file for file in self.manifest.files}
        for file in listed.values():
            _verify_file(self.path, file)
        for path in self.path.rglob("*"):
            relative = path.relative_to(self.path).as_posix()
            if path.is_file() and relative != MANIFEST_NAME and relative not in listed:
                raise BundleError(f"{path}: not listed in {MANIFEST_NAME}; rebuild the bundle")


def _verify_file(root: Path, file: BundleFile) -> None:
    path = root / file.path
    if not path.resolve().is_relative_to(root.resolve()):
        raise BundleError(f"{file.path!r} in {MANIFEST_NAME} points outside the bundle")
    if not path.is_file():
        raise BundleError(f"{path}: missing; rebuild the bundle or download it again")
    size = path.stat().st_size
    if size != file.size_bytes:
        raise BundleError(
            f"{path}: {size} bytes, {MANIFEST_NAME} says {file.size_bytes}; download it again"
        )
    if (digest := sha256_file(path)) != file.sha256:
        raise BundleError(
            f"{path}: sha256 {digest[:12]}…, {MANIFEST_NAME} says {file.sha256[:12]}…; "
            "download it again"
        )


def describe_files(root: Path) -> tuple[BundleFile, ...]:
    """List every file below `root` except the manifest, sorted by path."""
    return tuple(
        BundleFile(
            path=path.relative_to(root).as_posix(),
            size_bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    )
