"""Model names that are valid for Triton, MLflow, URLs and directories."""

from __future__ import annotations

import re

from enginehouse.errors import NameRefusedError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")

#: Suffixes of the Triton models that belong to one model name.
PREPROCESSING = "preprocessing"
TENSORRT_LLM = "tensorrt_llm"
POSTPROCESSING = "postprocessing"
#: Suffix of the model that answers a request with one response, for clients without streaming.
WHOLE = "whole"
#: Folder of an embedding model's Triton model, whose name has no suffix.
EMBEDDING = "embedding"


def check_model_name(name: str) -> str:
    """Return `name` if it is valid everywhere.

    Lower-case letters, digits, ``-`` and ``_``, 1 to 63 characters, a letter or digit at both
    ends. A dot separates our suffixes (``smollm2.tensorrt_llm``), a colon adapters and an ``@``
    versions, so these characters are not allowed in a name.

    Raises:
        NameRefusedError: with the invalid name and the rule.
    """
    if not _NAME.fullmatch(name):
        raise NameRefusedError(
            f"model name {name!r} cannot be used: write 1 to 63 characters of a-z, 0-9, '-' "
            "and '_', with a letter or digit first and last, for example 'smollm2'"
        )
    return name


def part(model: str, suffix: str) -> str:
    """Name of one of a model's Triton parts, for example ``smollm2.tensorrt_llm``."""
    return f"{model}.{suffix}"
