"""The shape of a model for the bounds, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from enginehouse.errors import CheckpointError, SettingsError
from enginehouse.manifest import MANIFEST_NAME, Architecture, read_manifest
from enginehouse.sizes import parameter_count, weight_bytes

_CATALOGUE = Path(__file__).with_name("models.yaml")
_CONFIG = "config.json"
#: Fields of a config.json with which a layer is not grouped-query attention followed by one kind of
#: feed-forward. The formulas would silently be wrong for such models.
_BEYOND = {
    "kv_lora_rank": "its attention keeps a compressed KV cache (MLA)",
    "n_routed_experts": "it mixes dense layers, routed and shared experts",
    "n_shared_experts": "it has shared experts",
    "shared_expert_intermediate_size": "it has shared experts",
    "mlp_only_layers": "some of its layers have experts and some have not",
}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder with grouped-query attention and a gated feed-forward, dense or with experts.

    Attributes:
        name: name in reports.
        architecture: as in the manifest; in a mixture, `intermediate_size` is that of one expert.
        experts_per_token: experts that one token uses; 1 for a dense model.
    """

    name: str
    architecture: Architecture
    experts_per_token: int = 1

    @property
    def experts(self) -> int:
        """Number of experts of a layer; 1 for a dense model."""
        return self.architecture.experts or 1

    @property
    def parameters(self) -> int:
        """Number of all weights without norms (`enginehouse.sizes.parameter_count`)."""
        return sum(parameter_count(self.architecture))

    @property
    def active_parameters(self) -> int:
        """Number of weights that one token uses, including the input embedding."""
        return self.active_layer_parameters + parameter_count(self.architecture)[1]

    @property
    def active_layer_parameters(self) -> int:
        """Number of weights of all layers that one token uses."""
        return parameter_count(self._with_experts(self.experts_per_token))[0]

    @property
    def output_parameters(self) -> int:
        """Number of weights of the output layer: vocabulary times hidden size."""
        return self.architecture.vocabulary_size * self.architecture.hidden_size

    def layer_bytes(self, precision: str, experts: float) -> float:
        """Bytes of all layers with `experts` experts each, which may be an expected value."""
        one = self._layer_bytes(precision, 1)
        if self.experts == 1:
            return one
        each = (self._layer_bytes(precision, self.experts) - one) / (self.experts - 1)
        return one + (experts - 1) * each

    def output_bytes(self, precision: str) -> float:
        """Bytes of the output layer, which every decoding step reads completely."""
        embeddings = weight_bytes(self.architecture, precision) - self._layer_bytes(
            precision, self.experts
        )
        return embeddings if self.architecture.tied_embeddings else embeddings / 2

    def _layer_bytes(self, precision: str, experts: int) -> float:
        without = self._with_experts(experts).model_copy(update={"vocabulary_size": 0})
        return weight_bytes(without, precision)

    def _with_experts(self, experts: int) -> Architecture:
        return self.architecture.model_copy(update={"experts": experts})


def read_model(text: str) -> ModelShape:
    """Read a model by name from the catalogue, from a config.json or its directory, or a bundle.

    Raises:
        SettingsError: if `text` is none of them.
        CheckpointError: if the file lacks a field, or the formulas do not cover the model.
        BundleError: if the bundle's manifest cannot be read.
    """
    if text.lower() in catalogue():
        return catalogue()[text.lower()]
    path = Path(text)
    directory = path.parent if path.name in {_CONFIG, MANIFEST_NAME} else path
    if (directory / MANIFEST_NAME).is_file():
        return _from_bundle(directory)
    if (directory / _CONFIG).is_file():
        return _from_config(directory)
    raise SettingsError(
        f"model {text!r} is neither in the catalogue, nor a directory with a {_CONFIG} or a "
        f"bundle's {MANIFEST_NAME}; the catalogue has {', '.join(sorted(catalogue()))}"
    )


@cache
def catalogue() -> dict[str, ModelShape]:
    """The models of the catalogue by name."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load(_CATALOGUE.read_text(encoding="utf-8"))
    return {
        name: ModelShape(
            name=name,
            architecture=Architecture.model_validate(entry["architecture"]),
            experts_per_token=entry.get("experts_per_token", 1),
        )
        for name, entry in entries.items()
    }


def _from_bundle(directory: Path) -> ModelShape:
    manifest = read_manifest(directory)
    if manifest.kind != "generator":
        raise CheckpointError(
            f"{directory}: this bundle is an {manifest.kind} model; only text generators "
            "are planned"
        )
    if manifest.architecture.experts:
        raise CheckpointError(
            f"{directory}: field 'architecture.experts' is {manifest.architecture.experts}, and "
            "the manifest does not say how many a token uses; give the checkpoint's "
            f"{_CONFIG} instead"
        )
    return ModelShape(name=manifest.model_name, architecture=manifest.architecture)


def _from_config(directory: Path) -> ModelShape:
    # Import late: the build package loads its runtimes, which the catalogue does not need.
    from enginehouse.build.hf_checkpoint import HfCheckpoint

    checkpoint = HfCheckpoint(directory, config_only=True)
    config, where = checkpoint.config, directory / _CONFIG
    for field, why in _BEYOND.items():
        if config.get(field):
            raise _not_covered(where, field, config[field], why)
    kinds = set(config.get("layer_types") or ()) - {"full_attention"}
    if kinds:
        why = "not every layer keeps the keys and values of all tokens"
        raise _not_covered(where, "layer_types", ", ".join(sorted(kinds)), why)
    architecture = checkpoint.architecture
    if not architecture.experts:
        return ModelShape(directory.resolve().name, architecture)
    used = config.get("num_experts_per_tok")
    if not isinstance(used, int) or not 1 <= used <= architecture.experts:
        raise CheckpointError(
            f"{where}: field 'num_experts_per_tok' is {used!r}; a mixture of "
            f"{architecture.experts} experts needs a number from 1 to {architecture.experts}"
        )
    width = config.get("moe_intermediate_size") or architecture.intermediate_size
    shape = architecture.model_copy(update={"intermediate_size": width})
    return ModelShape(directory.resolve().name, shape, used)


def _not_covered(where: Path, field: str, value: object, why: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: field {field!r} is {value!r}: {why}, which the planner's formulas do not cover; "
        "take a published measurement of this model instead"
    )
