"""The process that compiles guides. A grammar that crashes or stalls the compiler ends only it.

It runs the version of xgrammar that OpenVINO GenAI 2026.4 embeds (0.1.31). Only the extension
module is imported, because the Python package around it imports torch, which compiling does not
need.

Protocol on stdin and stdout, one JSON document a line:

- ``{"tokenizer": path, "end_ids": [...]}`` comes first. Reply: ``{"ready": version}``.
- ``{"kind": ..., "text": ...}`` compiles a guide. Reply: ``{"grammar": ...}``; ``{"refused": ...}``
  if the guide is invalid or cannot be enforced; or ``{"error": ...}``, the compiler's message.
- The same with ``"answer"`` validates a finished answer instead of compiling. Reply:
  ``{"violation": ...}``, empty if the answer conforms.
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

import jsonschema
import tokenizers
from enginehouse.engine.json_schema import (
    SchemaRefusedError,
    regex_grammar,
    schema_grammar,
)

from enginehouse.generation import GuideKind

_MEMORY_BYTES = 4 * 2**30
_BYTE_LEVEL = 2
_BYTE_FALLBACK = 1
#: The prefix of the compiler's messages: the time, and the path of its source file.
_ORIGIN = re.compile(r"^\[[\d:]+\] \S+?:\d+: (?:Check failed: .*? is false: )?")
_ANY_OBJECT = '{"type": "object"}'


class GuideWorker:
    """Compiles guides for one vocabulary."""

    def __init__(self, tokenizer_file: Path, end_ids: list[int]) -> None:
        self._bindings = bindings()
        tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_file))
        decoder = (json.loads(tokenizer.to_str()).get("decoder") or {}).get("type")
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        vocabulary = [tokenizer.id_to_token(index) or "" for index in range(size)]
        kind = _BYTE_LEVEL if decoder == "ByteLevel" else _BYTE_FALLBACK
        information = self._bindings.TokenizerInfo(vocabulary, kind, size, end_ids, False)
        self._compiler = self._bindings.GrammarCompiler(information, 1, False, -1)

    def compile(self, kind: GuideKind, text: str) -> str:
        """Compile a guide; return the grammar to give to the engine.

        Raises:
            SchemaRefusedError: if the schema or the pattern is invalid or cannot be enforced.
            RuntimeError: with the compiler's message.
        """
        match kind:
            case GuideKind.JSON | GuideKind.JSON_SCHEMA:
                text = schema_grammar(text or _ANY_OBJECT)
            case GuideKind.REGEX:
                text = regex_grammar(text)
        self._compiler.compile_grammar(self._bindings.Grammar.from_ebnf(text, "root"))
        return text


def violation(kind: GuideKind, text: str, answer: str) -> str:
    """How a finished answer violates its guide; empty if it conforms.

    `jsonschema` validates, which shares no code with the translation into a grammar. Answers to
    regular expressions and grammars are not validated.
    """
    if kind not in {GuideKind.JSON, GuideKind.JSON_SCHEMA}:
        return ""
    try:
        value = json.loads(answer)
    except ValueError as error:
        return f"the answer is not JSON: {error}"
    schema = json.loads(text or _ANY_OBJECT)
    broken = next(jsonschema.Draft202012Validator(schema).iter_errors(value), None)
    return "" if broken is None else f"{broken.validator} at {broken.json_path}"


def bindings() -> Any:
    """The extension module of xgrammar."""
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
    """The compiler's message without its time and source location."""
    return _ORIGIN.sub("", str(error).strip()).strip()


def main() -> None:
    """Serve the protocol until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    first = json.loads(sys.stdin.readline())
    worker = GuideWorker(Path(first["tokenizer"]), first["end_ids"])
    _answer({"ready": distribution("xgrammar").version})
    for line in sys.stdin:
        _answer(_answered(worker, json.loads(line)))


def _answered(worker: GuideWorker, asked: dict[str, str]) -> dict[str, str]:
    kind, text = GuideKind(asked["kind"]), asked["text"]
    try:
        if "answer" in asked:
            return {"violation": violation(kind, text, asked["answer"])}
        return {"grammar": worker.compile(kind, text)}
    except SchemaRefusedError as error:
        return {"refused": str(error)}
    except (RuntimeError, MemoryError) as error:
        return {"error": sentence(RuntimeError(str(error))) or "out of memory"}


def _answer(document: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
