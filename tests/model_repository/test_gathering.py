from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from enginehouse.model_repository.alias_names import AliasNames
from enginehouse.model_repository.gathering import divide, engine_inputs, engine_outputs, gather
from enginehouse.model_repository.under_way import UnderWay

from enginehouse.contract_whole import REFUSED_INPUTS, WHOLE_INPUTS
from enginehouse.errors import InvalidRequestError, QueueFullError

_NUMPY: dict[str, Any] = {
    "STRING": object,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT64": np.uint64,
    "UINT8": np.uint8,
    "FP32": np.float32,
    "FP16": np.float16,
    "BOOL": bool,
}
_ONE = np.ones((1, 1), np.int32)
_TEXT = {"text_input": np.array([[b"Hello"]], object), "max_tokens": _ONE}
_IDS = {"input_ids": _ONE, "input_lengths": _ONE, "request_output_len": _ONE}
_STREAMS = {"stream", "streaming", "stop"}


def _sample(name: str) -> Any:
    """A value of an input that requests something."""
    spec = next(spec for spec in WHOLE_INPUTS if spec.name == name)
    shape = [1, *(2 if size == -1 else size for size in spec.dims)]
    return np.full(shape, b"1" if spec.dtype == "STRING" else 1, dtype=_NUMPY[spec.dtype])


@pytest.mark.parametrize("name", [spec.name for spec in WHOLE_INPUTS])
@pytest.mark.parametrize("prompt", [_TEXT, _IDS], ids=["text", "ids"])
def test_every_input_reaches_a_part_or_is_refused_by_name(
    prompt: dict[str, Any], name: str
) -> None:
    arrays = {name: _sample(name), **prompt}
    streams = name in _STREAMS
    if _taken(arrays, streams=streams):
        return
    with pytest.raises(InvalidRequestError, match=name):
        divide(arrays, "m.whole", streams=streams)


def _taken(arrays: dict[str, Any], *, streams: bool) -> bool:
    try:
        asked = divide(arrays, "m.whole", streams=streams)
    except InvalidRequestError:
        return False
    return asked.stop or len({**asked.engine, **(asked.preprocessing or {})}) == len(arrays)


@pytest.mark.parametrize("name", REFUSED_INPUTS)
def test_no_drafts_ask_for_no_second_model(name: str) -> None:
    asked = divide({**_TEXT, name: np.zeros_like(_sample(name))}, "m.whole", streams=False)
    assert asked.engine == {}


def test_the_engine_gets_what_preprocessing_made() -> None:
    asked = divide({**_TEXT, "top_k": _ONE}, "m.whole", streams=False)
    inputs = engine_inputs(asked, {"INPUT_ID": _ONE, "OUT_END_ID": _ONE})
    assert set(inputs) == {"input_ids", "end_id", "runtime_top_k"}
    assert engine_outputs(asked, ["text_output", "cum_log_probs"]) == [
        "output_ids",
        "sequence_length",
        "cum_log_probs",
    ]


def test_sequences_are_gathered_in_their_order_and_padded() -> None:
    def response(index: int, ids: list[int]) -> dict[str, Any]:
        return {
            "output_ids": np.array([[ids]], np.int32),
            "sequence_length": np.array([[len(ids)]], np.int32),
            "sequence_index": np.array([[index]], np.int32),
        }

    gathered = gather([response(1, [4, 5, 6]), response(0, [7])])
    assert gathered["output_ids"].tolist() == [[[7, -1, -1], [4, 5, 6]]]
    assert gathered["sequence_length"].tolist() == [[1, 3]]
    assert gather([]) == {}


def test_a_request_whose_client_has_gone_is_stopped_until_it_ends() -> None:
    stopped: list[str] = []
    twice = threading.Event()

    def stop(engine_id: str) -> None:
        stopped.append(engine_id)
        if len(stopped) > 1:
            twice.set()

    under_way = UnderWay(2, stop)
    kept = under_way.enter("same", lambda: False)
    gone = under_way.enter("same", lambda: True)
    assert twice.wait(30)
    with pytest.raises(QueueFullError):
        under_way.enter("", lambda: False)
    under_way.leave(gone)
    under_way.leave(kept)
    under_way.close()
    assert set(stopped) == {gone.engine_id}


def test_stop_ends_the_requests_that_the_client_named_so() -> None:
    stopped: list[str] = []
    done = threading.Event()

    def stop(engine_id: str) -> None:
        stopped.append(engine_id)
        done.set()

    under_way = UnderWay(3, stop)
    entries = [under_way.enter(name, lambda: False) for name in ("a", "b", "")]
    under_way.stop("")
    under_way.stop("a")
    assert done.wait(30)
    under_way.close()
    assert set(stopped) == {entries[0].engine_id}


def test_names_beside_the_parts() -> None:
    assert AliasNames(unary=False).of("m") == ("m",)
    assert AliasNames().of("m") == ("m.whole", "m")
    assert AliasNames(compat_model="m").of("m", embedding=True) == ("m",)
    assert AliasNames(compat_model="m").of("n") == ("n.whole", "n")
    assert set(AliasNames(compat_model="m").of("m")) == {
        *("preprocessing", "postprocessing", "tensorrt_llm", "ensemble", "tensorrt_llm_bls"),
        *("m.whole", "m"),
    }
