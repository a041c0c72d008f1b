from __future__ import annotations

import numpy as np
from enginehouse.perf.peers.checkpoints import unpermuted


def test_ggufs_interleaved_rows_come_back_in_hugging_faces_order() -> None:
    heads, size = 2, 6
    original = np.arange(heads * size * 3).reshape(heads * size, 3)
    # llama.cpp's converter, convert_hf_to_gguf.py: `permute`.
    written = original.reshape(heads, 2, size // 2, 3).swapaxes(1, 2).reshape(original.shape)
    assert not np.array_equal(written, original)
    assert np.array_equal(unpermuted(written, heads), original)
