"""Names the layers of an IR so that LoRA adapters can find them.

The runtime looks up an adapter's module path among the names of matrix multiplications
(openvino.genai, `lora_adapter.cpp`). The GGUF reader names only a layer's weights.
"""

from __future__ import annotations

from pathlib import Path

import openvino
from enginehouse.build.openvino_ir import save_in_place

_SUFFIX = ".weight"


def name_layers(model_xml: Path) -> int:
    """Name each multiplication by its weights, in place; return how many were named."""
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
