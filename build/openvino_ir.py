"""Writes an OpenVINO IR, which consists of two files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino


def save_in_place(model: Any, model_xml: Path) -> None:
    """Replace the IR that `model` was read from, without changing the weights' type.

    The weights may still be mapped from the old file, which stays readable until the model is
    freed.
    """
    scratch = model_xml.with_name("changed.xml")
    openvino.save_model(model, scratch, compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        scratch.with_suffix(suffix).replace(model_xml.with_suffix(suffix))
