"""An OpenVINO IR on disk: two files that belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino


def save_in_place(model: Any, model_xml: Path) -> None:
    """Replace the IR that `model` was read from, weights as they are.

    The weights may still be mapped from the old file; it stays readable until the model is gone.
    """
    scratch = model_xml.with_name("changed.xml")
    openvino.save_model(model, scratch, compress_to_fp16=False)
    for suffix in (".xml", ".bin"):
        scratch.with_suffix(suffix).replace(model_xml.with_suffix(suffix))
