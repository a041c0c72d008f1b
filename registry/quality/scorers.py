"""Scorers for `mlflow.genai.evaluate`: ours, and a user's own by ``module:function``.

Each of ours is a pure function of text, wrapped for MLflow; None means that it does not apply.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enginehouse.errors import SpecError
from enginehouse.text.refusal import is_refusal

#: Attribute of an answer's span that carries OpenAI's `finish_reason`.
FINISH_ATTRIBUTE = "enginehouse.finish_reason"

_FENCE = re.compile(r"\A```(?:json)?\s*(?P<body>.*?)\s*```\Z", re.DOTALL)
_ENDINGS = tuple(".!?\u2026\"'\u201d\u2019)]}`:;*|>")


def is_empty(text: str) -> bool:
    """Whether no visible text came out."""
    return not text.strip()


def is_json(text: str) -> bool:
    """Whether the text is one JSON document, bare or in one code fence."""
    fenced = _FENCE.match(text.strip())
    try:
        json.loads(fenced["body"] if fenced else text)
    except (ValueError, RecursionError):
        return False
    return True


def ends_properly(text: str, finish: str | None) -> bool:
    """Whether the answer ended by itself: it was not cut off, and ends like a sentence or code.

    Short answers need no full stop.
    """
    if finish == "length" or is_empty(text):
        return False
    last = text.rstrip()
    return last.endswith(_ENDINGS) or len(last.split()) <= 8 or last[-1].isdigit()  # noqa: PLR2004


def normalized(text: str) -> str:
    """Lower case, single spaces, no punctuation at either end."""
    return " ".join(text.lower().split()).strip(" .!?,;:\"'`*")


def expected_answer(expectations: Mapping[str, Any] | None) -> str | None:
    """The expected answer, by MLflow's name for it or by ours."""
    for key in ("expected_response", "answer", "expected"):
        if expectations and isinstance(expectations.get(key), str):
            return str(expectations[key])
    return None


def expected_parts(expectations: Mapping[str, Any] | None) -> list[str]:
    """What the answer has to contain: `expected_facts` or `contains`, else the expected answer."""
    for key in ("contains", "expected_facts"):
        found = (expectations or {}).get(key)
        if isinstance(found, str):
            return [found]
        if isinstance(found, list):
            return [str(item) for item in found]
    answer = expected_answer(expectations)
    return [] if answer is None else [answer]


def wants_json(expectations: Mapping[str, Any] | None) -> bool:
    """Whether the answer has to be JSON: `"format": "json"`."""
    return (expectations or {}).get("format") == "json"


def built_in_scorers() -> list[Any]:
    """Ours, as MLflow's scorers; MLflow has to be set up (`tracking.open_mlflow`).

    A question without an answer (`outputs` None) has no scores.
    """
    from mlflow.genai.scorers import scorer

    def non_empty(outputs: str | None) -> bool | None:
        return None if outputs is None else not is_empty(outputs)

    def ended(outputs: str | None, trace: Any) -> bool | None:
        finish = trace.data.spans[0].get_attribute(FINISH_ATTRIBUTE)
        return None if outputs is None else ends_properly(outputs, finish)

    def no_refusal(outputs: str | None) -> bool | None:
        return None if outputs is None else not is_refusal(outputs)

    def words(outputs: str | None) -> int | None:
        return None if outputs is None else len(outputs.split())

    def valid_json(outputs: str | None, expectations: dict[str, Any]) -> bool | None:
        return is_json(outputs) if outputs is not None and wants_json(expectations) else None

    def exact(outputs: str | None, expectations: dict[str, Any]) -> bool | None:
        answer = expected_answer(expectations)
        if outputs is None or answer is None:
            return None
        return normalized(outputs) == normalized(answer)

    def contains(outputs: str | None, expectations: dict[str, Any]) -> bool | None:
        parts = expected_parts(expectations)
        if outputs is None or not parts:
            return None
        return all(normalized(part) in normalized(outputs) for part in parts)

    ours = (non_empty, no_refusal, words, valid_json, exact, contains)
    return [*(scorer(function) for function in ours), scorer(ended, name="ends_properly")]


def user_scorers(names: Sequence[str]) -> list[Any]:
    """Scorers given as ``module:function``; modules of the working directory are found.

    A plain function becomes a scorer of its own name.

    Raises:
        SpecError: naming what cannot be imported.
    """
    from mlflow.genai.scorers import Scorer, scorer

    found = []
    for name in names:
        module, separator, attribute = name.partition(":")
        if not separator:
            raise SpecError(f"--scorer {name!r}: give it as module:function")
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        try:
            value = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise SpecError(f"--scorer {name!r}: {error}") from None
        if not callable(value) and not isinstance(value, Scorer):
            raise SpecError(f"--scorer {name!r}: {attribute} is no function")
        found.append(value if isinstance(value, Scorer) else scorer(value))
    return found
