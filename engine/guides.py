"""Guides are compiled before they reach the engine, in a process of their own."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from enginehouse.engine.guide_schema import check_schema

from enginehouse.errors import BundleError, EngineUnavailableError, InvalidRequestError
from enginehouse.generation import Guide, GuideKind

_FIELD = "guided_decoding_guide"
_JSON = (GuideKind.JSON, GuideKind.JSON_SCHEMA)
_MAX_CHARACTERS = 131_072
_MAX_NESTING = 256
_KEPT = 256
_START_TIMEOUT_S = 60.0


class GuideCompiler:
    """Turns guides into such that the engine takes without fail; safe from any thread.

    The engine would compile a guide in the middle of a step, and a bad one breaks the step for
    every request. Here it is compiled by the same compiler over the same vocabulary: what
    passes, passes there, and takes no longer than it took here.
    """

    def __init__(self, tokenizer_file: Path, end_ids: list[int], timeout_s: float = 3.0) -> None:
        """Nothing runs until the first guide.

        Args:
            timeout_s: the longest that a compilation may hold up a step of the engine.
        """
        self._greeting = {"tokenizer": str(tokenizer_file), "end_ids": end_ids}
        self._timeout_s = timeout_s
        self._compiling = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # Apart from the other lock: whoever asks what is known never waits for a compilation.
        self._remembering = threading.Lock()
        self._known: OrderedDict[Guide, Guide] = OrderedDict()

    def known(self, guide: Guide) -> Guide | None:
        """The compiled form of a guide that has passed before."""
        with self._remembering:
            if guide in self._known:
                self._known.move_to_end(guide)
            return self._known.get(guide)

    def compile(self, guide: Guide) -> Guide:
        """Check and compile; blocks for up to the timeout.

        Raises:
            InvalidRequestError: with the place of the error, if the compiler gives it.
            EngineUnavailableError: if the compiler cannot be started.
        """
        if guide.kind is GuideKind.JSON_SCHEMA:
            check_schema(guide.text)
        elif guide.kind is not GuideKind.JSON:
            _check_text(guide)
        known = self.known(guide)
        if known is not None:
            return known
        with self._compiling:
            text = self._ask(guide)
        kind = GuideKind.EBNF_GRAMMAR if guide.kind in _JSON else guide.kind
        compiled = Guide(kind, text)
        with self._remembering:
            self._known[guide] = compiled
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return compiled

    def close(self) -> None:
        """End the process."""
        with self._compiling:
            self._stop()

    def _ask(self, guide: Guide) -> str:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        answer = self._exchange(
            process, {"kind": guide.kind.value, "text": guide.text}, self._timeout_s
        )
        if answer is None:
            self._stop()
            raise InvalidRequestError(
                f"this {guide.kind} takes the compiler longer than {self._timeout_s:g} s or more "
                "memory than it may use: lower repetition counts (maxItems, maxLength) or "
                "simplify it",
                field=_FIELD,
            )
        if "error" in answer:
            made = " (places are of the grammar made from it)" if guide.kind in _JSON else ""
            raise InvalidRequestError(
                f"the {guide.kind} does not compile{made}: {answer['error']}", field=_FIELD
            )
        return answer["grammar"]

    def _start(self) -> subprocess.Popen[bytes]:
        # Inside Triton's stub there is no interpreter's path, but the environment's is first.
        python = sys.executable or shutil.which("python3")
        if python is None:
            raise EngineUnavailableError("no python3 on PATH to run the guide compiler")
        process = subprocess.Popen(
            [python, "-m", "enginehouse.engine.guide_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._process = process
        if self._exchange(process, self._greeting, _START_TIMEOUT_S) is None:
            self._stop()
            raise EngineUnavailableError(
                "the guide compiler does not start; it needs xgrammar 0.1.31 (`make up`)"
            )
        return process

    def _exchange(
        self, process: subprocess.Popen[bytes], document: object, timeout_s: float
    ) -> dict[str, str] | None:
        """Send one line, wait for one; None if the process died or was too slow."""
        if process.stdin is None or process.stdout is None:
            raise BundleError("the guide compiler was started without pipes")
        try:
            process.stdin.write(json.dumps(document).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return None
        line = process.stdout.readline()
        answer: dict[str, str] | None = json.loads(line) if line else None
        return answer

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _check_text(guide: Guide) -> None:
    """Bounds that keep the compiler's recursion off the end of its stack."""
    text = guide.text
    if not text:
        raise InvalidRequestError(f"the {guide.kind} is empty", field=_FIELD)
    if len(text) > _MAX_CHARACTERS:
        raise InvalidRequestError(
            f"the {guide.kind} has {len(text)} characters, {_MAX_CHARACTERS} are allowed",
            field=_FIELD,
        )
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_NESTING:
        raise InvalidRequestError(
            f"the {guide.kind} is nested deeper than {_MAX_NESTING} levels", field=_FIELD
        )
