"""Builds the OpenVINO graph of a BERT encoder from a Hugging Face checkpoint, without torch.

The network is that of the paper (arXiv:1810.04805), with the tensor names that
`BertModel.save_pretrained` of transformers writes. A pooler is left out. A configuration that the
graph does not support is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import Node
from openvino import opset13 as ops
from safetensors import SafetensorError
from safetensors.numpy import load_file

from enginehouse.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
#: Approximation of OpenVINO's Gelu by the configuration's `hidden_act`.
_ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
#: Added to the attention scores of padding; also within the range of f16.
_HIDDEN = -1e4


def bert_graph(directory: Path, config: Mapping[str, Any]) -> openvino.Model:
    """The encoder: computes `last_hidden_state` from `input_ids` and `attention_mask`.

    Both inputs are i64 [batch, tokens]; the mask is 1 for tokens and 0 for padding. The output is
    f32 [batch, tokens, hidden]. All tokens have type 0. The graph checks neither ids nor lengths:
    an id outside the vocabulary gives a wrong result without an error.

    Args:
        directory: holds ``model.safetensors``.
        config: content of ``config.json``.

    Raises:
        CheckpointError: names the field that is not supported or the tensor that is missing.
    """
    bert = _Bert(directory / WEIGHTS_FILE, config)
    ids, mask = _input("input_ids"), _input("attention_mask")
    visible = ops.unsqueeze(ops.convert(mask, "f32"), _indices(1, 2))
    padding = ops.subtract(ops.constant(np.float32(1)), visible)
    bias = ops.multiply(padding, ops.constant(np.float32(_HIDDEN)))
    hidden = bert.embeddings(ids)
    for index in range(int(config["num_hidden_layers"])):
        hidden = bert.layer(hidden, bias, index)
    hidden.output(0).set_names({"last_hidden_state"})
    return openvino.Model([ops.result(hidden)], [ids, mask], "bert")


class _Bert:
    """Builds the graph from the checkpoint's tensors and the configured sizes."""

    def __init__(self, weights: Path, config: Mapping[str, Any]) -> None:
        _check_known(weights.parent, config)
        self._file = weights
        self._tensors = _read(weights)
        self._gelu = _ACTIVATIONS[config["hidden_act"]]
        self._epsilon = float(config["layer_norm_eps"])
        self._hidden = int(config["hidden_size"])
        self._heads = int(config["num_attention_heads"])

    def embeddings(self, ids: Node) -> Node:
        """Normalised sum of word, token type 0 and position embeddings: [batch, tokens, hidden]."""
        axis, one = ops.constant(np.int64(0)), ops.constant(np.int64(1))
        words = ops.gather(self._weight("embeddings.word_embeddings.weight"), ids, axis)
        types = ops.gather(self._weight("embeddings.token_type_embeddings.weight"), axis, axis)
        tokens = ops.gather(ops.shape_of(ids), one, axis)
        places = ops.range(axis, tokens, one, "i64")
        table = self._weight("embeddings.position_embeddings.weight")
        positions = ops.gather(table, places, axis)
        return self._norm(ops.add(ops.add(words, types), positions), "embeddings.LayerNorm")

    def layer(self, hidden: Node, bias: Node, index: int) -> Node:
        """One layer: attention and feed-forward, each with a residual connection and layer norm."""
        name = f"encoder.layer.{index}"
        attended = self._attention(hidden, bias, f"{name}.attention")
        wide = ops.gelu(self._linear(attended, f"{name}.intermediate.dense"), self._gelu)
        narrow = self._linear(wide, f"{name}.output.dense")
        return self._norm(ops.add(narrow, attended), f"{name}.output.LayerNorm")

    def _attention(self, hidden: Node, bias: Node, name: str) -> Node:
        shape = _indices(0, 0, self._heads, self._hidden // self._heads)
        order = _indices(0, 2, 1, 3)

        def by_head(part: str) -> Node:
            projected = self._linear(hidden, f"{name}.self.{part}")
            return ops.transpose(ops.reshape(projected, shape, True), order)

        query, key, value = (by_head(part) for part in ("query", "key", "value"))
        mixed = ops.scaled_dot_product_attention(query, key, value, bias)
        joined = ops.reshape(ops.transpose(mixed, order), _indices(0, 0, self._hidden), True)
        out = ops.add(self._linear(joined, f"{name}.output.dense"), hidden)
        return self._norm(out, f"{name}.output.LayerNorm")

    def _linear(self, x: Node, name: str) -> Node:
        product = ops.matmul(x, self._weight(f"{name}.weight"), False, True)
        return ops.add(product, self._weight(f"{name}.bias"))

    def _norm(self, x: Node, name: str) -> Node:
        scaled = ops.mvn(x, _indices(-1), True, self._epsilon, "inside_sqrt")
        scaled = ops.multiply(scaled, self._weight(f"{name}.weight"))
        return ops.add(scaled, self._weight(f"{name}.bias"))

    def _weight(self, name: str) -> Node:
        """A tensor of the checkpoint as an f32 constant with the tensor's name."""
        if name not in self._tensors:
            raise CheckpointError(f"{self._file}: no tensor {name!r}; save the whole BertModel")
        constant = ops.constant(self._tensors[name].astype(np.float32, copy=False))
        constant.set_friendly_name(name)
        return constant


def _check_known(directory: Path, config: Mapping[str, Any]) -> None:
    """Check that the network is supported; another one would give wrong vectors silently."""
    where = directory / "config.json"
    wanted: dict[str, tuple[object, ...]] = {
        "model_type": ("bert",),
        "hidden_act": tuple(_ACTIVATIONS),
        "position_embedding_type": ("absolute", None),
        "is_decoder": (False, None),
    }
    for field, values in wanted.items():
        if config.get(field) not in values:
            known = ", ".join(repr(value) for value in values if value is not None)
            raise CheckpointError(
                f"{where}: {field} is {config.get(field)!r}; embedding models are built from "
                f"BERT encoders with {known}"
            )
    for field in ("num_hidden_layers", "num_attention_heads", "hidden_size", "layer_norm_eps"):
        if field not in config:
            raise CheckpointError(f"{where}: field {field!r} is missing")


def _read(file: Path) -> dict[str, NDArray[Any]]:
    """The tensors by name, without the name prefix of checkpoints that have a head."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError, TypeError) as error:
        # TypeError: numpy has no bf16.
        raise CheckpointError(f"{file}: cannot be read: {error}; save it as float32") from error
    return {name.removeprefix("bert."): value for name, value in tensors.items()}


def _input(name: str) -> Node:
    parameter = ops.parameter([-1, -1], np.int64, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _indices(*values: int) -> Node:
    return ops.constant(np.array(values, np.int64))
