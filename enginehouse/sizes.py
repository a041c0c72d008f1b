"""Memory estimates for engines: pure formulas of the architecture.

KV cache: one key and one value vector for each token, layer and KV head, which paged attention
divides into blocks (Kwon et al., arXiv 2309.06180, section 3). Checked against OpenVINO GenAI
2026.4, which makes 1456 blocks of 32 tokens from a GiB in bf16 and 2452 in u8 for 30 layers, 3 KV
heads and head size 64: 23,046 and 13,684 bytes a token; the formula gives 23,040 and 13,680.
"""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.manifest import Architecture

GIB = 2**30
#: Bits of each weight in the layers and in the embedding, including scales and zero points.
_WEIGHT_BITS: dict[str, tuple[float, float]] = {
    "fp16": (16, 16),
    "bf16": (16, 16),
    "int8": (8.1, 8.1),
    # A fifth of the layers stays int8; groups of 32 have a scale and a zero point.
    "int4": (0.8 * 4.6 + 0.2 * 8.1, 8.1),
    "fp8": (8, 16),
    "w8a16": (8.1, 16),
    "smoothquant": (8.1, 16),
    "w4a16_awq": (4.2, 16),
    "nvfp4": (4.5, 16),
}
_KV_BYTES = {"auto": 2.0, "bf16": 2.0, "f16": 2.0, "fp16": 2.0, "f32": 4.0, "fp8": 1.0, "int8": 1.0,
             "u8": 1.0}  # fmt: skip
#: With u8 each vector has a scale and a zero point, padded to 12 bytes.
_U8_VECTOR_BYTES = 12


def parameter_count(a: Architecture) -> tuple[int, int]:
    """Parameters of all layers, and of embedding and output layer; norms are not counted."""
    query, key_value = a.attention_heads * a.head_size, a.kv_heads * a.head_size
    attention = 2 * a.hidden_size * (query + key_value)
    experts = a.experts or 1
    feed_forward = 3 * a.hidden_size * (a.intermediate_size or 4 * a.hidden_size) * experts
    embedding = a.vocabulary_size * a.hidden_size * (1 if a.tied_embeddings else 2)
    return a.layers * (attention + feed_forward), embedding


def weight_bytes(a: Architecture, weight_format: str) -> int:
    """Bytes of the weights in a format."""
    layers, embedding = parameter_count(a)
    layer_bits, embedding_bits = _WEIGHT_BITS[weight_format]
    return int((layers * layer_bits + embedding * embedding_bits) / 8)


def kv_bytes_per_token(a: Architecture, precision: str = "auto") -> int:
    """Bytes of KV cache for one token of one sequence, over all layers."""
    vectors = 2 * a.layers * a.kv_heads
    extra = _U8_VECTOR_BYTES if precision == "u8" else 0
    return int(vectors * (a.head_size * _KV_BYTES[precision] + extra))


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """Memory needs of an engine.

    Attributes:
        pool_tokens: tokens that fit into the KV cache, over all sequences.
        batch_at_context: sequences of full context length that fit.
        batch_at_1k: sequences of 1,024 tokens that fit.
    """

    parameters: int
    weight_bytes: int
    kv_bytes_per_token: int
    pool_tokens: int
    batch_at_context: int
    batch_at_1k: int


def estimate(
    a: Architecture, weight_format: str, kv_precision: str, pool_bytes: int, context_length: int
) -> SizeEstimate:
    """Estimate the sizes of an engine with a KV cache pool of `pool_bytes`."""
    per_token = kv_bytes_per_token(a, kv_precision)
    tokens = pool_bytes // per_token
    return SizeEstimate(
        parameters=sum(parameter_count(a)),
        weight_bytes=weight_bytes(a, weight_format),
        kv_bytes_per_token=per_token,
        pool_tokens=tokens,
        batch_at_context=tokens // context_length,
        batch_at_1k=tokens // 1024,
    )
