"""The process that compiles guides: a grammar that crashes or stalls the compiler ends only it.

Runs xgrammar of the version that OpenVINO GenAI 2026.4 embeds (0.1.31), through its extension
module alone: the package around it imports torch, of which compiling uses nothing.

Protocol, on stdin and stdout: one JSON document a line. First ``{"tokenizer": path,
"end_ids": [...]}``, answered by ``{"ready": version}``; then ``{"kind": ..., "text": ...}``,
answered by ``{"grammar": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import importlib.util
import json
import re
import resource
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import tokenizers

from enginehouse.generation import GuideKind

_MEMORY_BYTES = 4 * 2**30
_BYTE_LEVEL = 2
_BYTE_FALLBACK = 1
#: What the compiler puts before its sentence: time, and the path of its own source.
_ORIGIN = re.compile(r"^\[[\d:]+\] \S+?:\d+: (?:Check failed: .*? is false: )?")
_ANY_OBJECT = '{"type": "object"}'


class GuideWorker:
    """Compiles guides for one vocabulary."""

    def __init__(self, tokenizer_file: Path, end_ids: list[int]) -> None:
        self._bindings = _bindings()
        tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
        decoder = (json.loads(tokenizer.to_str()).get("decoder") or {}).get("type")
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        vocabulary = [tokenizer.id_to_token(index) or "" for index in range(size)]
        kind = _BYTE_LEVEL if decoder == "ByteLevel" else _BYTE_FALLBACK
        information = self._bindings.TokenizerInfo(vocabulary, kind, size, end_ids, False)
        self._compiler = self._bindings.GrammarCompiler(information, 1, False, -1)

    def compile(self, kind: GuideKind, text: str) -> str:
        """Compile, and return what the engine is to be given for it.

        JSON Schemas become a grammar without free white space, in which small models lose
        themselves; other kinds stay as they are.

        Raises:
            RuntimeError: from the compiler, with its sentence.
        """
        grammars = self._bindings.Grammar
        match kind:
            case GuideKind.JSON | GuideKind.JSON_SCHEMA:
                schema = text or _ANY_OBJECT
                grammar = grammars.from_json_schema(schema, False, None, None, True, None, False)
                text = grammar.to_string()
                grammar = grammars.from_ebnf(text, "root")
            case GuideKind.REGEX:
                grammar = grammars.from_regex(text, False)
            case GuideKind.EBNF_GRAMMAR:
                grammar = grammars.from_ebnf(text, "root")
        self._compiler.compile_grammar(grammar)
        return text


def _bindings() -> Any:
    try:
        package = distribution("xgrammar")
    except PackageNotFoundError:
        raise SystemExit(
            "xgrammar is missing: `make up` installs it, or pip install --no-deps xgrammar==0.1.31"
        ) from None
    for file in package.files or []:
        if file.name.startswith("xgrammar_bindings") and file.suffix == ".so":
            path = str(package.locate_file(file))
            spec = importlib.util.spec_from_file_location("xgrammar_bindings", path)
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise SystemExit("the installed xgrammar has no extension module: install 0.1.31 again")


def sentence(error: RuntimeError) -> str:
    """The compiler's message without the place in its own source."""
    return _ORIGIN.sub("", str(error).strip()).strip()


def main() -> None:
    """Answer until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    first = json.loads(sys.stdin.readline())
    worker = GuideWorker(Path(first["tokenizer"]), first["end_ids"])
    _answer({"ready": distribution("xgrammar").version})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"grammar": worker.compile(GuideKind(asked["kind"]), asked["text"])}
        except (RuntimeError, MemoryError) as error:
            answer = {"error": sentence(RuntimeError(str(error))) or "out of memory"}
        _answer(answer)


def _answer(document: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
