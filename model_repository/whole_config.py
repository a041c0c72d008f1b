"""Configurations of the models that call the parts: `<model>.whole` and NVIDIA's unary names.

NVIDIA's repository has the setting `decoupled_mode`: its models either stream, or send one response
for each request. Here the setting applies to NVIDIA's names only. `<model>.whole` always sends one
response.
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

#: NVIDIA's names of the models that run the whole path.
COMPAT_ENSEMBLE = "ensemble"
COMPAT_BLS = "tensorrt_llm_bls"


@dataclass(frozen=True, slots=True)
class Pin:
    """The version that a calling model is pinned to.

    Attributes:
        most_under_way: most active requests; further ones are refused.
    """

    model: str
    version: int
    most_under_way: int


def whole_config(pin: Pin) -> Any:
    """`<model>.whole`: takes text or token ids and sends one response."""
    return _calling(
        part(pin.model, WHOLE), pin, contract_whole.WHOLE_INPUTS, contract_whole.WHOLE_OUTPUTS
    )


def bls_config(pin: Pin, *, decoupled: bool) -> Any:
    """NVIDIA's name `tensorrt_llm_bls`."""
    config = _calling(COMPAT_BLS, pin, contract_whole.BLS_INPUTS, contract_whole.BLS_OUTPUTS)
    if decoupled:
        config.model_transaction_policy.decoupled = True
    return config


def unary_engine_config(pin: Pin) -> Any:
    """NVIDIA's name `tensorrt_llm` with `decoupled_mode: False`."""
    return _calling(TENSORRT_LLM, pin, contract.ENGINE_INPUTS, contract.ENGINE_OUTPUTS)


def unary_ensemble_config(pin: Pin) -> Any:
    """NVIDIA's name `ensemble` with `decoupled_mode: False`; its steps have NVIDIA's names."""
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
    # Inputs are forwarded unchanged, so they keep the shapes that clients send.
    add_tensors(config, [replace(spec, scalar=False) for spec in inputs], outputs)
    given = {"model": pin.model, "version": pin.version, "most_under_way": pin.most_under_way}
    for key, value in given.items():
        config.parameters[key].string_value = str(value)
    return config
