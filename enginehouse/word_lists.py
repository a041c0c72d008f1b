"""Lists of id sequences in the contract's layout, as `stop_words_list` and its kind carry them.

``[2, n]``, INT32: the ids one after another, and below them the end offset of each sequence,
padded with -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_words(words: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Sequences, none of them empty → an array [2, n]; n is the number of all ids."""
    flat = [i for word in words for i in word]
    offsets = np.cumsum([len(word) for word in words], dtype=np.int64).tolist()
    padded = [*offsets, *([-1] * (len(flat) - len(offsets)))]
    return np.array([flat, padded], dtype=np.int32)


def unpack_words(packed: NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """An array of 2 n values in that layout → sequences."""
    ids, offsets = packed.reshape(2, -1).tolist()
    words, start = [], 0
    for end in offsets:
        if end <= start:
            break
        words.append(tuple(ids[start:end]))
        start = end
    return tuple(words)
