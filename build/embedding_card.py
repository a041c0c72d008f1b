"""The model card of an embedding model; see `card`."""

from __future__ import annotations

from enginehouse.build.card import assemble, origin

from enginehouse.manifest import EmbeddingFacts, EngineManifest, Quality


def embedding_card(manifest: EngineManifest, facts: EmbeddingFacts, notes: str | None) -> str:
    """Markdown of the card, which is also the version's description in the registry."""
    sections = [
        _identity(manifest, facts),
        _quality(manifest.quality),
        origin(manifest),
        _limits(facts),
    ]
    return assemble(sections, notes)


def _identity(manifest: EngineManifest, facts: EmbeddingFacts) -> str:
    a, c = manifest.architecture, manifest.checkpoint
    return f"""# {manifest.model_name}

A text embedding model of Enginehouse, built from **{c.name}** for the runtime
`{manifest.runtime}` {manifest.runtime_version}.

| | |
|---|---|
| Checkpoint | {c.name} ({c.kind}), sha256 `{c.sha256}` |
| Licence | {c.license or "not stated by the checkpoint"} |
| Architecture | {a.family}: {a.layers} layers, hidden {a.hidden_size}, {a.attention_heads} heads |
| Dimensions | {facts.dimensions} |
| Pooling | {facts.pooling}{", then normalised to length 1" if facts.normalise else ""} |
| Longest text | {facts.max_tokens} tokens, special tokens included; longer ones are refused |
| Weights | {manifest.weight_format}, computed in {manifest.engine_settings.precision_hint} |
| Built | {manifest.built_at:%Y-%m-%d %H:%M} UTC on {manifest.built_on.cpu_model} |
"""


def _quality(quality: Quality | None) -> str:
    if quality is None or quality.max_abs_difference is None or quality.min_cosine is None:
        reason = f": {quality.accepted_reason}" if quality and quality.accepted_reason else ""
        return f"## Quality\n\nNot measured{reason}.\n"
    verdict = (
        "Within the threshold."
        if quality.status == "passed"
        else f"**Past the threshold**, accepted: {quality.accepted_reason}."
    )
    return f"""## Quality

Against sentence-transformers with torch, float32. {verdict} All figures: `reports/parity.json`.

| | |
|---|---|
| Largest difference of a component | {quality.max_abs_difference:.2g} |
| Least cosine of a text's two vectors | {quality.min_cosine:.7f} |
"""


def _limits(facts: EmbeddingFacts) -> str:
    return f"""## Intended use and limits

Search, clustering and comparison of texts by the cosine of their vectors, up to
{facts.max_tokens} tokens each. Vectors of other models or versions cannot be compared with these:
embed a collection again when its model changes. The checkpoint's licence applies.
"""
