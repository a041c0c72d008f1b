"""The logic of `<model>.postprocessing`: decodes token ids into text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enginehouse.text import Tokenizer


def postprocess(arrays: Mapping[str, NDArray[Any]], tokenizer: Tokenizer) -> NDArray[Any]:
    """Decode ``TOKENS_BATCH`` [1, beams, n] and ``SEQUENCE_LENGTH`` [1, beams]: ``OUTPUT`` [beams].

    Like the output of NVIDIA's postprocessing, ``OUTPUT`` has no batch dimension: clients read
    `text_output[0]` as bytes. No state is needed between responses: the engine never ends a
    response inside a character, so the decoded responses of a stream concatenate to the whole text.
    """
    beams = arrays["TOKENS_BATCH"]
    ids = beams.reshape(-1, beams.shape[-1]) if beams.size else np.zeros((1, 0), np.int32)
    lengths = arrays["SEQUENCE_LENGTH"].reshape(-1)
    texts = [
        tokenizer.decode(row[:length].tolist()) for row, length in zip(ids, lengths, strict=True)
    ]
    return np.array([text.encode() for text in texts], dtype=object)
