"""Compiles guides in a separate process, before their requests reach the engine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import selectors
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path

import psutil

from enginehouse.errors import (
    BundleError,
    EngineUnavailableError,
    GuideCompilerBusyError,
    InvalidRequestError,
    ServingError,
)
from enginehouse.generation import Guide, GuideKind

_log = logging.getLogger(__name__)
_FIELD = "guided_decoding_guide"
_MAX_CHARACTERS = 131_072
_MAX_NESTING = 256
_KEPT = 256
_START_TIMEOUT_S = 60.0
#: Interval between two checks of a compilation's CPU time, in seconds.
_LOOK_S = 0.05


class GuideCompiler:
    """Translates guides into grammars that the engine is sure to accept. Thread-safe.

    The engine compiles a guide inside a step, and an invalid one makes the step fail for every
    request. This class compiles it first, with the same compiler and vocabulary. A guide that
    compiles here also compiles in the engine, with no more CPU time.
    """

    def __init__(
        self,
        tokenizer_file: Path,
        end_ids: list[int],
        work_s: float = 3.0,
        patience_s: float = 30.0,
    ) -> None:
        """Create the compiler; its process starts with the first guide.

        Args:
            tokenizer_file: the bundle's `tokenizer.json`.
            end_ids: end-of-sequence ids.
            work_s: most CPU seconds of one compilation, since it would delay a step of the engine.
            patience_s: most wall-clock seconds of one compilation.
        """
        self._greeting = {"tokenizer": str(tokenizer_file), "end_ids": end_ids}
        self._work_s = work_s
        self._patience_s = patience_s
        self._compiling = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # A lock of its own, so that `known` never waits for a compilation.
        self._remembering = threading.Lock()
        self._known: OrderedDict[Guide, Guide] = OrderedDict()

    def known(self, guide: Guide) -> Guide | None:
        """The compiled form of a guide, if it has been compiled before."""
        with self._remembering:
            if guide in self._known:
                self._known.move_to_end(guide)
            return self._known.get(guide)

    def compile(self, guide: Guide) -> Guide:
        """Check and compile a guide.

        Raises:
            InvalidRequestError: with the location of the error, or if it takes too much CPU time.
            GuideCompilerBusyError: if it did not finish in time because the host is busy.
            EngineUnavailableError: if the compiler cannot be started.
        """
        if guide.kind not in {GuideKind.JSON, GuideKind.JSON_SCHEMA}:
            _check_text(guide)
        known = self.known(guide)
        if known is not None:
            return known
        with self._compiling:
            answer = self._ask({"kind": guide.kind.value, "text": guide.text}, guide.kind)
        compiled = Guide(GuideKind.EBNF_GRAMMAR, _grammar(answer, guide.kind))
        with self._remembering:
            self._known[guide] = compiled
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return compiled

    def fits(self, guide: Guide, answer: str) -> bool:
        """Whether a finished answer conforms to its guide; a violation is logged.

        An answer that cannot be validated within the limits of a compilation counts as conforming.
        """
        asked = {"kind": guide.kind.value, "text": guide.text, "answer": answer}
        try:
            with self._compiling:
                said = self._ask(asked, guide.kind)
        except (InvalidRequestError, EngineUnavailableError, GuideCompilerBusyError) as error:
            _log.warning("an answer was not held against its guide: %s", error)
            return True
        reason = said.get("violation") or said.get("error") or said.get("refused")
        if reason:
            digest = hashlib.sha256(guide.text.encode()).hexdigest()
            _log.error("an answer breaks its %s (sha256 %s): %s", guide.kind, digest, reason)
        return not reason

    def close(self) -> None:
        """End the process."""
        with self._compiling:
            self._stop()

    def _ask(self, document: dict[str, str], kind: GuideKind) -> dict[str, str]:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        limit_s = _worked_s(process) + self._work_s
        answer = self._exchange(process, document, self._patience_s, limit_s)
        if answer is None:
            overworked = _worked_s(process) > limit_s
            ended = process.poll() is not None
            self._stop()
            raise self._gave_up(kind, ended=ended, overworked=overworked)
        return answer

    def _gave_up(self, kind: GuideKind, *, ended: bool, overworked: bool) -> ServingError:
        if ended:
            return InvalidRequestError(
                f"the compiler does not survive this {kind}, or it needs more memory than it may "
                "use: simplify it",
                field=_FIELD,
            )
        if overworked:
            return InvalidRequestError(
                f"this {kind} takes the compiler more than {self._work_s:g} s of CPU time: lower "
                "repetition counts or simplify it",
                field=_FIELD,
            )
        return GuideCompilerBusyError(
            f"the host is too busy to compile this {kind} within {self._patience_s:g} s; try again "
            "later",
            field=_FIELD,
            retry_after_s=self._patience_s,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        # Triton's stub has no `sys.executable`; the environment's Python is first on PATH.
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
        if self._exchange(process, self._greeting, _START_TIMEOUT_S, _START_TIMEOUT_S) is None:
            self._stop()
            raise EngineUnavailableError(
                "the guide compiler does not start; it needs xgrammar 0.1.31 (`make up`)"
            )
        return process

    def _exchange(
        self, process: subprocess.Popen[bytes], document: object, patience_s: float, limit_s: float
    ) -> dict[str, str] | None:
        """Send one document and wait for the reply; None if the process died or exceeded a limit.

        Args:
            process: the worker.
            document: the request.
            patience_s: most wall-clock seconds to wait.
            limit_s: most CPU seconds that the process may have used since its start.
        """
        if process.stdin is None or process.stdout is None:
            raise BundleError("the guide compiler was started without pipes")
        until = time.monotonic() + patience_s
        try:
            process.stdin.write(json.dumps(document).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(_LOOK_S):
                late = time.monotonic() > until
                if late or _worked_s(process) > limit_s:
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


def _worked_s(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds that a process has used, which do not depend on the load of the host."""
    try:
        times = psutil.Process(process.pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _grammar(answer: dict[str, str], kind: GuideKind) -> str:
    if "refused" in answer:
        raise InvalidRequestError(f"the {kind} cannot be used: {answer['refused']}", field=_FIELD)
    if "error" in answer:
        made = "" if kind is GuideKind.EBNF_GRAMMAR else " (places are of the grammar made from it)"
        raise InvalidRequestError(
            f"the {kind} does not compile{made}: {answer['error']}", field=_FIELD
        )
    return answer["grammar"]


def _check_text(guide: Guide) -> None:
    """Check size and nesting, so that the compiler's recursion does not overflow its stack."""
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
