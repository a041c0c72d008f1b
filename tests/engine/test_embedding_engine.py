"""The embedding engine on the packaged model, against sentence-transformers' own vectors."""

from __future__ import annotations

import numpy as np
import pytest
from enginehouse.build.embedding_parity import EmbeddingReference, find_reference
from enginehouse.engine.embedding import EmbeddingEngine
from enginehouse.model_repository.texts_to_vectors import embed_requests

from enginehouse.bundle import Bundle
from enginehouse.errors import (
    BundleError,
    ContextOverflowError,
    FingerprintError,
    InvalidRequestError,
)
from enginehouse.manifest import EmbeddingFacts


@pytest.fixture(scope="module")
def engine(embedding_bundle: Bundle) -> EmbeddingEngine:
    return EmbeddingEngine(embedding_bundle)


@pytest.fixture(scope="module")
def reference(embedding_bundle: Bundle) -> EmbeddingReference:
    found = find_reference(embedding_bundle.manifest.checkpoint.sha256)
    assert found is not None
    return found


def _with_facts(bundle: Bundle, **changes: object) -> Bundle:
    facts = bundle.manifest.embedding
    assert facts is not None
    changed = EmbeddingFacts.model_validate({**facts.model_dump(), **changes})
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"embedding": changed}))


def test_vectors_are_the_references_one_by_one_and_together(
    engine: EmbeddingEngine, reference: EmbeddingReference
) -> None:
    texts = list(reference.texts)
    expected = dict(zip(texts, np.array(reference.embeddings), strict=True))
    assert len(texts) == 16
    for text in texts:
        alone = engine.embed([text], truncate=True).vectors[0]
        assert np.abs(alone - expected[text]).max() <= 1e-3, text
    texts.sort(key=lambda text: text[::-1])
    together = engine.embed(texts, truncate=True)
    assert together.vectors.dtype == np.float32
    for text, vector in zip(texts, together.vectors, strict=True):
        assert np.abs(vector - expected[text]).max() <= 1e-3, text


def test_a_text_of_the_longest_length_fits_and_one_more_token_is_refused(
    engine: EmbeddingEngine,
) -> None:
    longest = " ".join(["word"] * 254)
    assert engine.embed([longest]).token_counts == [256]
    with pytest.raises(ContextOverflowError, match=r"length is 256 tokens\. However.* has 257"):
        engine.embed(["short", f"{longest} word"])


def test_truncation_keeps_the_tokens_at_both_ends_of_a_text(engine: EmbeddingEngine) -> None:
    (ids,) = engine.tokenize([" ".join(["word"] * 400)], truncate=True)
    assert (len(ids), ids[0], ids[-1]) == (256, 101, 102)


def test_no_text_gives_no_vector(engine: EmbeddingEngine) -> None:
    assert engine.embed([]).vectors.shape == (0, 384)


def test_pooling_and_normalisation_are_those_of_the_facts(embedding_bundle: Bundle) -> None:
    def vector(**facts: object) -> np.ndarray:
        engine = EmbeddingEngine(_with_facts(embedding_bundle, **facts))
        return engine.embed(["How do I reset my password?"]).vectors[0]

    usual, raw = vector(), vector(normalise=False)
    assert np.linalg.norm(usual) == pytest.approx(1.0, abs=1e-6)
    assert np.allclose(raw / np.linalg.norm(raw), usual, atol=1e-6)
    assert abs(float(np.linalg.norm(raw)) - 1.0) > 0.1
    assert float(vector(pooling="cls") @ usual) < 0.99


def test_bundles_that_do_not_fit_are_refused(embedding_bundle: Bundle) -> None:
    manifest = embedding_bundle.manifest
    generator = manifest.model_copy(update={"embedding": None})
    with pytest.raises(BundleError, match="text generator"):
        EmbeddingEngine(Bundle(embedding_bundle.path, generator))
    foreign = manifest.model_copy(update={"runtime_version": "1999.1.0"})
    with pytest.raises(FingerprintError, match=r"built with openvino 1999\.1\.0"):
        EmbeddingEngine(Bundle(embedding_bundle.path, foreign))


def test_a_bad_request_of_a_dynamic_batch_fails_alone(engine: EmbeddingEngine) -> None:
    def request(*texts: bytes) -> dict[str, np.ndarray]:
        return {"text_input": np.array([[text] for text in texts], dtype=object)}

    results = embed_requests(
        [request(b"a", b"b"), request(b"x " * 400), request(b"\xff"), request(b"c")], engine
    )
    assert [isinstance(r, InvalidRequestError) for r in results] == [False, True, True, False]
    expected = engine.embed(["a", "b", "c"]).vectors
    assert np.allclose(results[0]["embedding"], expected[:2], atol=1e-5)
    assert np.allclose(results[3]["embedding"], expected[2:], atol=1e-5)
    assert results[0]["num_input_tokens"].tolist() == [[3], [3]]


def test_a_dynamic_batch_of_bad_requests_only_computes_nothing(engine: EmbeddingEngine) -> None:
    bad = {"text_input": np.array([[b"\xff"]], dtype=object)}
    (result,) = embed_requests([bad], engine)
    assert isinstance(result, InvalidRequestError)
    assert result.field == "text_input"
