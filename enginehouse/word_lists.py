"""Lists of id sequences in the contract's layout (`stop_words_list`, `bad_words_list`).

``[2, n]``, INT32: the first row has all ids, the second the end offset of each sequence, padded
with -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_words(words: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Pack non-empty sequences into an array [2, n]; n is the total number of ids."""
    flat = [i for word in words for i in word]
    offsets = np.cumsum([len(word) for word in words], dtype=np.int64).tolist()
    padded = [*offsets, *([-1] * (len(flat) - len(offsets)))]
    return np.array([flat, padded], dtype=np.int32)


def unpack_words(packed: NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """Unpack an array of 2 n values in that layout."""
    ids, offsets = packed.reshape(2, -1).tolist()
    words, start = [], 0
    for end in offsets:
        if end <= start:
            break
        words.append(tuple(ids[start:end]))
        start = end
    return tuple(words)
