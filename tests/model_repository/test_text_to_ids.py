"""What preprocessing gives, against the vendor's published outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from enginehouse.model_repository.text_to_ids import preprocess

from enginehouse.contract import PREPROCESSING_OUTPUTS
from enginehouse.manifest import SpecialTokens
from tests.default_model import default_tokenizer

_TOKENS = SpecialTokens(bos_id=None, end_ids=(2,), pad_id=7, add_bos=False)
#: Of a multimodal request only, as in the vendor's preprocessing.
_LEFT_OUT = {
    "OUT_PROMPT_TABLE_EXTRA_IDS",
    *("PIXEL_VALUES", "ASPECT_RATIO_IDS", "ASPECT_RATIO_MASK", "CROSS_ATTENTION_MASK"),
    *("IMAGE_SIZES", "IS_VIDEO_INPUT", "ATTENTION_MASK", "IMAGE_GRID_THW", "VISION_INPUT_ID"),
}


def _made(**extra: Any) -> dict[str, Any]:
    arrays = {
        "QUERY": np.array([[b"Hello"]], object),
        "REQUEST_OUTPUT_LEN": np.array([[4]], np.int32),
    }
    return preprocess(arrays | extra, default_tokenizer(), _TOKENS)


def test_every_output_of_a_text_is_there_in_the_order_of_the_configuration() -> None:
    names = [spec.name for spec in PREPROCESSING_OUTPUTS if spec.name not in _LEFT_OUT]
    assert list(_made()) == names


def test_outputs_have_the_types_and_shapes_of_the_configuration() -> None:
    made = _made(STOP_WORDS_DICT=np.array([[b"a b"]], object))
    numpy = {"INT32": np.int32, "FP32": np.float32}
    for spec in PREPROCESSING_OUTPUTS:
        if spec.name in made:
            array = made[spec.name]
            assert array.dtype == numpy[spec.dtype]
            assert array.shape[0] == 1
            given = zip(array.shape[1:], spec.dims, strict=True)
            assert all(size in {-1, got} for got, size in given)


def test_a_decoder_begins_with_one_padding_token() -> None:
    assert _made()["DECODER_INPUT_ID"].tolist() == [[7]]
    assert _made(PAD_ID=np.array([[9]], np.int32))["DECODER_INPUT_ID"].tolist() == [[9]]
    assert _made()["REQUEST_DECODER_INPUT_LEN"].tolist() == [[1]]
    assert _made()["EMBEDDING_BIAS"].shape == (1, 0)
