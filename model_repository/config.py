"""Builds `config.pbtxt` from Triton's own protobuf message.

A file printed from the message is complete and always parses in Triton. `parse` reads a file back
into the same message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from enginehouse import contract
from enginehouse.contract import TensorSpec
from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part

#: Longest wait of a request to an embedding model for others to share its batch, in microseconds.
_QUEUE_DELAY_US = 2000
#: Most requests that may wait for an embedding model; further ones are refused.
_EMBEDDING_QUEUE = 1024


def render(config: Any) -> str:
    """Text of a `config.pbtxt`."""
    return str(text_format.MessageToString(config))


def parse(text: str) -> Any:
    """The `ModelConfig` message of a `config.pbtxt`."""
    return text_format.Parse(text, pb.ModelConfig())


def engine_config(model: str, versions: Sequence[int], instances: int = 1) -> Any:
    """`<model>.tensorrt_llm`: decoupled. Each instance is a separate engine with its own batch."""
    config = _python_model(part(model, TENSORRT_LLM), versions)
    config.instance_group[0].count = instances
    config.model_transaction_policy.decoupled = True
    add_tensors(config, contract.ENGINE_INPUTS, contract.ENGINE_OUTPUTS)
    return config


def preprocessing_config(name: str, versions: Sequence[int]) -> Any:
    """`<model>.preprocessing`, or NVIDIA's name `preprocessing`."""
    config = _python_model(name, versions)
    add_tensors(config, contract.PREPROCESSING_INPUTS, contract.PREPROCESSING_OUTPUTS)
    return config


def postprocessing_config(name: str, versions: Sequence[int]) -> Any:
    """`<model>.postprocessing`, or NVIDIA's name `postprocessing`.

    It must have exactly one instance. With two, the responses of a stream are reordered.
    """
    config = _python_model(name, versions)
    add_tensors(config, contract.POSTPROCESSING_INPUTS, contract.POSTPROCESSING_OUTPUTS)
    return config


def embedding_config(model: str, versions: Sequence[int]) -> Any:
    """`<model>` of an embedding model, with dynamic batching.

    Health probes have a priority level of their own, so that a busy model still answers them.
    """
    config = _python_model(model, versions)
    config.max_batch_size = contract.EMBEDDING_MAX_BATCH
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = _QUEUE_DELAY_US
    batching.priority_levels = contract.EMBEDDING_PRIORITY_LEVELS
    batching.default_priority_level = contract.EMBEDDING_PRIORITY_LEVELS
    batching.default_queue_policy.max_queue_size = _EMBEDDING_QUEUE
    add_tensors(config, contract.EMBEDDING_INPUTS, contract.EMBEDDING_OUTPUTS)
    return config


def ensemble_config(name: str, model: str, version: int) -> Any:
    """An ensemble called `name`, with every step pinned to `version` of `model`'s parts."""
    config = pb.ModelConfig(name=name, platform="ensemble", max_batch_size=1)
    add_tensors(config, contract.ENSEMBLE_INPUTS, contract.ENSEMBLE_OUTPUTS)
    add_steps(
        config,
        {
            suffix: (part(model, suffix), version)
            for suffix in (PREPROCESSING, TENSORRT_LLM, POSTPROCESSING)
        },
    )
    return config


def add_steps(config: Any, models: Mapping[str, tuple[str, int]]) -> None:
    """Add the steps of an ensemble.

    Args:
        config: the ensemble's `ModelConfig`.
        models: Triton model and version of each part, by the part's suffix.
    """
    steps = {
        suffix: config.ensemble_scheduling.step.add(model_name=name, model_version=version)
        for suffix, (name, version) in models.items()
    }
    for outer, (suffix, inner) in contract.ENSEMBLE_INPUT_ROUTES.items():
        steps[suffix].input_map[inner] = outer
    for output, engine_input in contract.ENSEMBLE_PREPROCESSED.items():
        steps[PREPROCESSING].output_map[output] = f"_{output}"
        steps[TENSORRT_LLM].input_map[engine_input] = f"_{output}"
    for output in contract.ENSEMBLE_PASSED_OUTPUTS:
        steps[TENSORRT_LLM].output_map[output] = output
    for output, target in (("output_ids", "TOKENS_BATCH"), ("sequence_length", "SEQUENCE_LENGTH")):
        steps[TENSORRT_LLM].output_map[output] = f"_{target}"
        steps[POSTPROCESSING].input_map[target] = f"_{target}"
    steps[POSTPROCESSING].output_map["OUTPUT"] = "text_output"


def compat_engine_config(model: str, version: int) -> Any:
    """NVIDIA's name `tensorrt_llm`: an ensemble with the single step `<model>.tensorrt_llm`.

    An ensemble cannot have an input and an output of the same name. `context_phase_params`, which
    disaggregated serving uses, is therefore an input only.
    """
    config = pb.ModelConfig(name=TENSORRT_LLM, platform="ensemble", max_batch_size=1)
    inputs = [replace(spec, scalar=False) for spec in contract.ENGINE_INPUTS]
    names = {spec.name for spec in inputs}
    outputs = [spec for spec in contract.ENGINE_OUTPUTS if spec.name not in names]
    add_tensors(config, inputs, outputs)
    step = config.ensemble_scheduling.step.add(
        model_name=part(model, TENSORRT_LLM), model_version=version
    )
    for spec in inputs:
        step.input_map[spec.name] = spec.name
    for spec in outputs:
        step.output_map[spec.name] = spec.name
    return config


def _python_model(name: str, versions: Iterable[int]) -> Any:
    config = pb.ModelConfig(name=name, backend="python", max_batch_size=1)
    config.version_policy.specific.versions.extend(sorted(versions))
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    return config


def add_tensors(config: Any, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
    """Add the contract's tensors to a `ModelConfig`."""
    for spec in inputs:
        tensor = config.input.add(
            name=spec.name,
            data_type=pb.DataType.Value(f"TYPE_{spec.dtype}"),
            dims=spec.dims,
            optional=spec.optional,
            allow_ragged_batch=spec.ragged,
        )
        if spec.scalar:
            tensor.reshape.SetInParent()
    for spec in outputs:
        config.output.add(
            name=spec.name, data_type=pb.DataType.Value(f"TYPE_{spec.dtype}"), dims=spec.dims
        )
