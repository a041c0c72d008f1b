"""Generates the model card of a bundle from its manifest, its reports and the user's notes.

Notes are a Markdown file outside of the bundle, so that they survive every rebuild. `enginehouse
build` uses ``$ENGINEHOUSE_HOME/cards/NAME.md`` if it exists.
"""

from __future__ import annotations

from enginehouse.build.speed import SpeedReport

from enginehouse.manifest import EngineManifest, Quality

_NOTES_BEGIN = "<!-- notes: written by hand, kept by every build -->"


def model_card(manifest: EngineManifest, speed: SpeedReport | None, notes: str | None) -> str:
    """The card as Markdown, which is also the version's description in the registry."""
    sections = [
        _identity(manifest),
        _quality(manifest.quality),
        _speed(manifest, speed),
        origin(manifest),
        _limits(manifest),
    ]
    return assemble(sections, notes)


def assemble(sections: list[str], notes: str | None) -> str:
    """Join the card's sections, followed by the user's notes."""
    if notes is not None:
        sections = [*sections, f"{_NOTES_BEGIN}\n{notes.strip()}\n"]
    return "\n".join(sections)


def _identity(manifest: EngineManifest) -> str:
    a, c, s = manifest.architecture, manifest.checkpoint, manifest.engine_settings
    return f"""# {manifest.model_name}

An engine bundle of Enginehouse, built from **{c.name}** for the runtime
`{manifest.runtime}` {manifest.runtime_version}.

| | |
|---|---|
| Checkpoint | {c.name} ({c.kind}), sha256 `{c.sha256}` |
| Licence | {c.license or "not stated by the checkpoint"} |
| Base model | {c.base_model or "not stated by the checkpoint"} |
| Training data | {", ".join(c.datasets) or "not stated by the checkpoint"} |
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
"""


def _quality(quality: Quality | None) -> str:
    if quality is None or quality.status == "not_measured":
        reason = f": {quality.accepted_reason}" if quality else ""
        return f"## Quality\n\nNot measured{reason}.\n"
    verdict = (
        "Within the thresholds of its format."
        if quality.status == "passed"
        else f"**Past its thresholds**, accepted: {quality.accepted_reason}."
    )
    return f"""## Quality

Against the same checkpoint in torch, float32. {verdict} All figures: `reports/parity.json`.

| | |
|---|---|
| Perplexity, ratio to the reference | {_figure(quality.perplexity_ratio)} |
| Mean KL divergence of next tokens | {_figure(quality.mean_kl_nats)} nats |
| Greedy tokens before the first divergence | {_figure(quality.equal_tokens_share)} |
| Tasks solved | {quality.tasks_solved} of {quality.tasks_total} |
"""


def _speed(manifest: EngineManifest, speed: SpeedReport | None) -> str:
    if speed is None:
        return "## Speed\n\nNot measured.\n"
    return f"""## Speed

On the build host ({manifest.built_on.cpu_model}, {manifest.built_on.cpu_count} CPUs), the engine
alone, {speed.prompt_tokens} tokens of prompt and {speed.generated_tokens} of answer.

| | |
|---|---|
| TTFT, 1 request | {speed.ttft_ms:.0f} ms |
| Tokens/s, 1 request | {speed.tokens_per_second_1:.0f} |
| Tokens/s, 16 in flight | {speed.tokens_per_second_16:.0f} |
"""


def origin(manifest: EngineManifest) -> str:
    """The section with the arguments and tools of the build."""
    arguments = "\n".join(f"- `{k}`: {v}" for k, v in manifest.build_arguments.items())
    tools = ", ".join(f"{name} {version}" for name, version in manifest.tool_versions.items())
    return f"## How it was built\n\n{arguments}\n\nTools: {tools}.\n"


def _limits(manifest: EngineManifest) -> str:
    return f"""## Intended use and limits

Chat and text completion through Enginehouse, up to {manifest.context_length} tokens of prompt and
answer together. Answers of a language model can be wrong or offensive; the checkpoint's licence
and the terms of its base model apply. The figures above come from a small fixed set: measure
quality and speed on your own work before you rely on them.
"""


def _figure(value: float | None) -> str:
    return "not available from this runtime" if value is None else f"{value:.4f}"
