from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from enginehouse.build.default_checkpoint import default_checkpoint

_LAYERS = 2


@pytest.fixture(scope="session")
def unknown_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's first two layers: built in seconds, and no reference is packaged."""
    source = gguf.GGUFReader(default_checkpoint())
    target = tmp_path_factory.mktemp("checkpoint") / "other.gguf"
    family = str(source.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(target, family)
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = _LAYERS if key == f"{family}.block_count" else field.contents()
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(key, value, field.types[0], sub_type=element)
    for tensor in source.tensors:
        block = tensor.name.split(".")[1] if tensor.name.startswith("blk.") else "0"
        if int(block) < _LAYERS:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
