from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from enginehouse.build.default_checkpoint import default_checkpoint

_LAYERS = 2
_VOCABULARY = 4096
#: Characters and control tokens; what is made by merges comes after them, in the merges' order.
_UNMERGED = 252
_TRIMMED = {
    "tokenizer.ggml.tokens": _VOCABULARY,
    "tokenizer.ggml.token_type": _VOCABULARY,
    "tokenizer.ggml.merges": _VOCABULARY - _UNMERGED,
}


@pytest.fixture(scope="session")
def unknown_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's first two layers and first tokens: no reference of it is packaged.

    It is built in seconds; reading a whole vocabulary takes as long as the rest.
    """
    source = gguf.GGUFReader(default_checkpoint())
    target = tmp_path_factory.mktemp("checkpoint") / "other.gguf"
    family = str(source.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(target, family)
    changed = {f"{family}.block_count": _LAYERS, f"{family}.vocab_size": _VOCABULARY}
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = changed[key] if key in changed else field.contents()
        if key in _TRIMMED:
            value = value[: _TRIMMED[key]]
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(key, value, field.types[0], sub_type=element)
    for tensor in source.tensors:
        block = tensor.name.split(".")[1] if tensor.name.startswith("blk.") else "0"
        if int(block) < _LAYERS:
            data = tensor.data[:_VOCABULARY] if tensor.name == "token_embd.weight" else tensor.data
            writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
