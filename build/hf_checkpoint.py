"""Reads a Hugging Face directory: configuration, tokenizer, chat template and digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from enginehouse.digests import sha256_tree
from enginehouse.errors import CheckpointError
from enginehouse.manifest import Architecture, Checkpoint, GenerationDefaults, SpecialTokens


class HfCheckpoint:
    """An opened Hugging Face model directory."""

    def __init__(self, path: Path, *, config_only: bool = False) -> None:
        """Open and check a directory.

        Args:
            path: the directory.
            config_only: require `config.json` only, for a dry run.

        Raises:
            CheckpointError: names the file that is missing or unreadable.
        """
        self.path = path
        self.config = _read_json(path / "config.json")
        if not config_only and not any(path.glob("*.safetensors")):
            raise CheckpointError(f"{path}: no *.safetensors weights in this directory")
        if not config_only and not (path / "tokenizer.json").is_file():
            raise CheckpointError(
                f"{path}: no tokenizer.json; save the tokenizer in the fast format first"
            )
        self._tokenizer_config = _read_json(path / "tokenizer_config.json", optional=True)
        self._generation = _read_json(path / "generation_config.json", optional=True)

    def _require(self, key: str) -> Any:
        if key not in self.config:
            raise CheckpointError(f"{self.path / 'config.json'}: field {key!r} is missing")
        return self.config[key]

    @property
    def architecture(self) -> Architecture:
        """Shape of the network."""
        heads = int(self._require("num_attention_heads"))
        hidden = int(self._require("hidden_size"))
        return Architecture(
            family=str(self._require("model_type")),
            layers=int(self._require("num_hidden_layers")),
            hidden_size=hidden,
            attention_heads=heads,
            kv_heads=int(self.config.get("num_key_value_heads") or heads),
            head_size=int(self.config.get("head_dim") or hidden // heads),
            vocabulary_size=int(self._require("vocab_size")),
            intermediate_size=self.config.get("intermediate_size"),
            tied_embeddings=bool(self.config.get("tie_word_embeddings", False)),
            experts=self.config.get("num_local_experts") or self.config.get("num_experts"),
        )

    @property
    def context_length(self) -> int:
        """Most tokens of prompt and answer together."""
        return int(self._require("max_position_embeddings"))

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of the chat template, from its file or the tokenizer's configuration."""
        file = self.path / "chat_template.jinja"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        template = self._tokenizer_config.get("chat_template")
        return template if isinstance(template, str) else None

    @property
    def tokenizer_json(self) -> str:
        """The content of `tokenizer.json`."""
        return (self.path / "tokenizer.json").read_text(encoding="utf-8")

    @property
    def special_tokens(self) -> SpecialTokens:
        """BOS, end and padding ids; end ids of `generation_config.json` take precedence."""
        ends = self._generation.get("eos_token_id", self.config.get("eos_token_id"))
        if ends is None:
            raise CheckpointError(f"{self.path / 'config.json'}: field 'eos_token_id' is missing")
        end_ids = tuple(int(i) for i in (ends if isinstance(ends, list) else [ends]))
        bos = self.config.get("bos_token_id")
        pad = self.config.get("pad_token_id")
        return SpecialTokens(
            bos_id=None if bos is None else int(bos),
            end_ids=end_ids,
            pad_id=end_ids[0] if pad is None else int(pad),
            add_bos=bool(self._tokenizer_config.get("add_bos_token", False)),
        )

    @property
    def generation_defaults(self) -> GenerationDefaults:
        """The sampling parameters that the checkpoint's authors recommend."""
        return GenerationDefaults(
            temperature=float(self._generation.get("temperature") or 1.0),
            top_p=float(self._generation.get("top_p") or 1.0),
        )

    def describe(self) -> Checkpoint:
        """Identity of the checkpoint, with a digest over all its files."""
        card = _front_matter(self.path / "README.md")
        return Checkpoint(
            kind="huggingface",
            name=self.path.resolve().name,
            sha256=sha256_tree(self.path),
            license=_first(card.get("license")),
            base_model=_first(card.get("base_model")),
            datasets=tuple(str(item) for item in _listed(card.get("datasets"))),
        )


def _front_matter(card: Path) -> dict[str, Any]:
    """The YAML front matter of a model card; empty if there is none."""
    if not card.is_file():
        return {}
    parts = card.read_text(encoding="utf-8", errors="replace").split("---", 2)
    if len(parts) < 3 or parts[0].strip():  # noqa: PLR2004 - before, between and after
        return {}
    try:
        content = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise CheckpointError(f"{card}: the metadata at its head is not YAML: {error}") from error
    return content if isinstance(content, dict) else {}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _first(value: Any) -> str | None:
    return str(_listed(value)[0]) if _listed(value) else None


def _read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent}: not a Hugging Face model directory: no {path.name}"
        ) from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return content
