"""Names that LoRA adapters find their layers by.

The GGUF reader names a layer's weights, not its multiplication, and the runtime looks an
adapter's module path up among the names of multiplications (openvino.genai, `lora_adapter.cpp`).
"""

from __future__ import annotations

from pathlib import Path

import openvino
from enginehouse.build.openvino_ir import save_in_place

_SUFFIX = ".weight"


def name_layers(model_xml: Path) -> int:
    """Name each multiplication by a weight after it, in place; return how many were named."""
    model = openvino.Core().read_model(model_xml)
    named = 0
    for op in model.get_ops():
        if op.get_type_name() != "MatMul":
            continue
        weight = op.input_value(1).get_node()
        if weight.get_type_name() == "Convert":
            weight = weight.input_value(0).get_node()
        name = weight.get_friendly_name()
        if name.endswith(_SUFFIX):
            # model.layers[0].self_attn.q_proj → model.layers.0.self_attn.q_proj
            op.set_friendly_name(name.removesuffix(_SUFFIX).replace("[", ".").replace("]", ""))
            named += 1
    save_in_place(model, model_xml)
    return named
