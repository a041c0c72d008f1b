"""Scorers for `mlflow.genai.evaluate`: built-in ones, and the user's own as ``module:function``.

Each built-in scorer is a pure function of text, wrapped for MLflow. None means not applicable.
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

#: Attribute of a span that holds the answer's OpenAI `finish_reason`.
FINISH_ATTRIBUTE = "enginehouse.finish_reason"

_FENCE = re.compile(r"\A```(?:json)?\s*(?P<body>.*?)\s*```\Z", re.DOTALL)
_ENDINGS = tuple(".!?\u2026\"'\u201d\u2019)]}`:;*|>")


def is_empty(text: str) -> bool:
    """Whether the text has no visible character."""
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
    """Whether the answer is complete: not cut off, and ends like a sentence or code.

    Answers of up to eight words need no full stop.
    """
    if finish == "length" or is_empty(text):
        return False
    last = text.rstrip()
    return last.endswith(_ENDINGS) or len(last.split()) <= 8 or last[-1].isdigit()  # noqa: PLR2004


def normalized(text: str) -> str:
    """Lower case, single spaces, no punctuation at either end."""
    return " ".join(text.lower().split()).strip(" .!?,;:\"'`*")


def expected_answer(expectations: Mapping[str, Any] | None) -> str | None:
    """The expected answer, under MLflow's key or one of ours."""
    for key in ("expected_response", "answer", "expected"):
        if expectations and isinstance(expectations.get(key), str):
            return str(expectations[key])
    return None


def expected_parts(expectations: Mapping[str, Any] | None) -> list[str]:
    """What the answer has to contain: `contains` or `expected_facts`, else `expected_answer`."""
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
    """The built-in scorers for MLflow; call `tracking.open_mlflow` first.

    A question without an answer (`outputs` None) gets no scores.
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
    """Import scorers given as ``module:function``; the working directory is on the import path.

    A plain function becomes a scorer with the function's name.

    Raises:
        SpecError: names the scorer that cannot be imported.
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
            raise SpecError(f"--scorer {name!r}: {attribute} is not a function")
        found.append(value if isinstance(value, Scorer) else scorer(value))
    return found
