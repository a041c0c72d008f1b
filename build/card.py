"""The model card: what a bundle is, generated from its manifest."""

from __future__ import annotations

from enginehouse.manifest import EngineManifest


def model_card(manifest: EngineManifest) -> str:
    """Markdown of the card, which is also the version's description in the registry."""
    a, c, s = manifest.architecture, manifest.checkpoint, manifest.engine_settings
    tools = ", ".join(f"{name} {version}" for name, version in manifest.tool_versions.items())
    arguments = "\n".join(f"- `{k}`: {v}" for k, v in manifest.build_arguments.items())
    return f"""# {manifest.model_name}

An engine bundle of Enginehouse, built from **{c.name}** for the runtime
`{manifest.runtime}` {manifest.runtime_version}.

| | |
|---|---|
| Checkpoint | {c.name} ({c.kind}), sha256 `{c.sha256}` |
| Licence | {c.license or "not stated by the checkpoint"} |
| Architecture | {a.family}: {a.layers} layers, hidden {a.hidden_size}, {a.attention_heads} heads \
({a.kv_heads} KV), head size {a.head_size} |
| Weights | {manifest.weight_format} |
| Context length | {manifest.context_length} tokens |
| Vocabulary | {a.vocabulary_size} tokens |
| Maximum batch | {manifest.max_batch} sequences in flight |
| KV cache | {s.kv_cache_gib} GiB, precision {s.kv_cache_precision} |
| Precision hint | {s.precision_hint} |
| Built | {manifest.built_at:%Y-%m-%d %H:%M} UTC on {manifest.built_on.cpu_model} |
| Tokenizer check | {manifest.tokenizer_check["texts"]} texts, all ids equal to the engine's |

## How it was built

{arguments}

Tools: {tools}.

## Intended use and limits

Chat and text completion through Enginehouse. Answers of a language model can be wrong; its
licence and the terms of its base model apply. Quality and speed on your work are not measured
by a build: measure them before you rely on them.
"""
