"""Configurations of the models that call the parts: `<model>.whole` and NVIDIA's unary names.

NVIDIA's repository has one switch, `decoupled_mode`: the names answer in streams, or each request
once. Here it is a setting of the compatible names; `<model>.whole` always answers once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from enginehouse.model_repository.config import add_steps, add_tensors
from tritonclient.grpc import model_config_pb2 as pb

from enginehouse import contract, contract_whole
from enginehouse.contract import TensorSpec
from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, WHOLE, part

#: The vendor's names of the whole.
COMPAT_ENSEMBLE = "ensemble"
COMPAT_BLS = "tensorrt_llm_bls"


@dataclass(frozen=True, slots=True)
class Pin:
    """The version that a model stands for.

    Attributes:
        most_under_way: requests at a time; one more is refused.
    """

    model: str
    version: int
    most_under_way: int


def whole_config(pin: Pin) -> Any:
    """`<model>.whole`: a text or token ids in, one response out."""
    return _calling(
        part(pin.model, WHOLE), pin, contract_whole.WHOLE_INPUTS, contract_whole.WHOLE_OUTPUTS
    )


def bls_config(pin: Pin, *, decoupled: bool) -> Any:
    """The vendor's `tensorrt_llm_bls`."""
    config = _calling(COMPAT_BLS, pin, contract_whole.BLS_INPUTS, contract_whole.BLS_OUTPUTS)
    if decoupled:
        config.model_transaction_policy.decoupled = True
    return config


def unary_engine_config(pin: Pin) -> Any:
    """The vendor's `tensorrt_llm` with `decoupled_mode: False`."""
    return _calling(TENSORRT_LLM, pin, contract.ENGINE_INPUTS, contract.ENGINE_OUTPUTS)


def unary_ensemble_config(pin: Pin) -> Any:
    """The vendor's `ensemble` with `decoupled_mode: False`: its steps are the bare names."""
    config = pb.ModelConfig(name=COMPAT_ENSEMBLE, platform="ensemble", max_batch_size=1)
    add_tensors(config, contract.ENSEMBLE_INPUTS, contract.ENSEMBLE_OUTPUTS)
    add_steps(
        config,
        {
            PREPROCESSING: (PREPROCESSING, pin.version),
            TENSORRT_LLM: (TENSORRT_LLM, 1),
            POSTPROCESSING: (POSTPROCESSING, pin.version),
        },
    )
    return config


def _calling(
    name: str, pin: Pin, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]
) -> Any:
    config = pb.ModelConfig(name=name, backend="python", max_batch_size=1)
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    # Inputs go on as they came, so they keep the shapes that clients send.
    add_tensors(config, [replace(spec, scalar=False) for spec in inputs], outputs)
    given = {"model": pin.model, "version": pin.version, "most_under_way": pin.most_under_way}
    for key, value in given.items():
        config.parameters[key].string_value = str(value)
    return config
