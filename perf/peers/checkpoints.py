"""Writes the default model in the formats that peers read, from one dequantised source.

The engine is built from the GGUF file dequantised to F16. Peers get the same weights: llama.cpp the
F16 file, the others a Hugging Face directory with its tensors. The tokenizer is the bundle's,
because transformers rebuilds the tokenizer of this GGUF file incorrectly.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from enginehouse.build.gguf_checkpoint import GgufCheckpoint
from enginehouse.perf.peers.peer import PeerCheckpoint
from safetensors.numpy import save_file

from enginehouse.bundle import Bundle
from enginehouse.errors import CheckpointError
from enginehouse.manifest import Architecture, SpecialTokens

_F16 = np.float16
#: Hugging Face's tensor names within a layer, by GGUF's.
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NAMES = {"token_embd": "embed_tokens", "output_norm": "norm"}


def prepare_checkpoint(source: Path, bundle: Bundle, target: Path) -> PeerCheckpoint:
    """Write the files that do not exist yet.

    Args:
        source: the GGUF file that the bundle was built from.
        bundle: provides tokenizer and chat template.
        target: directory for an F16 GGUF file and a Hugging Face directory.

    Raises:
        CheckpointError: if the source is damaged or not of the architecture ``llama``.
    """
    target.mkdir(parents=True, exist_ok=True)
    f16, directory = target / "model-f16.gguf", target / "huggingface"
    if not f16.is_file():
        part = f16.with_suffix(".part")
        GgufCheckpoint(source).write_f16(part)
        part.rename(f16)
    if not directory.is_dir():
        part = directory.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        _write_huggingface(f16, bundle, part)
        part.rename(directory)
    return PeerCheckpoint(bundle.path, f16, directory)


def _write_huggingface(f16: Path, bundle: Bundle, target: Path) -> None:
    checkpoint = GgufCheckpoint(f16)
    if checkpoint.family != "llama":
        raise CheckpointError(f"{f16}: peers are given llama models, not {checkpoint.family!r}")
    target.mkdir(parents=True)
    tensors = dict(_tensors(f16, checkpoint.architecture))
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(bundle.tokenizer_path, target / "tokenizer.json")
    special = checkpoint.special_tokens
    documents = {
        "config.json": _config(checkpoint, special),
        "generation_config.json": {"eos_token_id": special.end_ids[0], "do_sample": False},
        "tokenizer_config.json": _tokenizer_config(checkpoint, bundle, special),
    }
    for name, document in documents.items():
        (target / name).write_text(json.dumps(document, indent=2), encoding="utf-8")


def _tensors(f16: Path, shape: Architecture) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    heads = {"attn_q": shape.attention_heads, "attn_k": shape.kv_heads}
    for tensor in gguf.GGUFReader(f16).tensors:
        name = tensor.name.removesuffix(".weight")
        data = np.asarray(tensor.data)
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            if part in heads:
                data = unpermuted(data, heads[part])
            yield f"model.layers.{layer}.{_LAYER_NAMES[part]}.weight", _f16(data)
        elif name in _NAMES:
            yield f"model.{_NAMES[name]}.weight", _f16(data)


def unpermuted(weights: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The rows of a query or key projection in Hugging Face's order.

    GGUF interleaves the two halves of each head, because llama.cpp rotates neighbouring pairs.

    Args:
        weights: ``[heads * head_size, hidden]``.
    """
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _f16(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(data, dtype=_F16)


def _config(checkpoint: GgufCheckpoint, special: SpecialTokens) -> dict[str, Any]:
    shape = checkpoint.architecture
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float16",
        "vocab_size": shape.vocabulary_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.attention_heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": checkpoint.require("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": checkpoint.get("llama.rope.freq_base", 10000.0),
        "max_position_embeddings": checkpoint.context_length,
        "tie_word_embeddings": shape.tied_embeddings,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": special.bos_id,
        "eos_token_id": special.end_ids[0],
        "pad_token_id": special.pad_id,
    }


def _tokenizer_config(
    checkpoint: GgufCheckpoint, bundle: Bundle, special: SpecialTokens
) -> dict[str, Any]:
    tokens = checkpoint.require("tokenizer.ggml.tokens")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None if special.bos_id is None else tokens[special.bos_id],
        "eos_token": tokens[special.end_ids[0]],
        "pad_token": tokens[special.pad_id],
        "add_bos_token": special.add_bos,
        "chat_template": bundle.chat_template,
        "clean_up_tokenization_spaces": False,
        "model_max_length": checkpoint.context_length,
    }
