"""The compiler's process: what it promises, how its limits end it, and who judges answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from enginehouse.engine.guides import GuideCompiler
from enginehouse.engine.job import Job
from enginehouse.engine.judged import JudgedSink
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from enginehouse.errors import GuideCompilerBusyError, InvalidRequestError
from enginehouse.generation import Chunk, FinishReason, GenerationRequest, Guide, GuideKind
from enginehouse.text.detokenizer import CharacterBoundary
from tests.engine.collect import Collector

_AGE = Guide(GuideKind.JSON_SCHEMA, json.dumps({"type": "integer", "maximum": 120}))


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of single bytes and an end."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: index for index, text in enumerate([*alphabet, "</s>"])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.fixture
def compiler(tokenizer_file: Path) -> Iterator[Callable[..., GuideCompiler]]:
    made: list[GuideCompiler] = []

    def make(**limits: float) -> GuideCompiler:
        made.append(GuideCompiler(tokenizer_file, [256], **limits))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    "guide",
    [
        Guide(GuideKind.JSON, ""),
        _AGE,
        Guide(GuideKind.JSON_SCHEMA, '{"type": "string", "maxLength": 2000}'),
        Guide(GuideKind.JSON_SCHEMA, '{"type": "array", "maxItems": 100000}'),
        Guide(GuideKind.REGEX, r"[a-z]{1,2000}!?"),
        Guide(GuideKind.EBNF_GRAMMAR, 'root ::= "yes" | "no"'),
    ],
)
def test_guides_become_grammars_and_are_remembered(
    compiler: Callable[..., GuideCompiler], guide: Guide
) -> None:
    made = compiler()
    compiled = made.compile(guide)
    assert compiled.kind is GuideKind.EBNF_GRAMMAR
    assert "root ::=" in compiled.text
    # The repetition is counted, not unrolled.
    assert len(compiled.text) < 20_000
    assert made.known(guide) == compiled


def test_too_much_work_is_the_callers_and_a_busy_host_is_not(
    compiler: Callable[..., GuideCompiler],
) -> None:
    with pytest.raises(InvalidRequestError, match="CPU time"):
        compiler(work_s=0.0).compile(Guide(GuideKind.REGEX, "([a-z]{1,9}x?){1,900}y"))
    with pytest.raises(GuideCompilerBusyError, match="try again later") as busy:
        compiler(patience_s=0.0, work_s=60.0).compile(
            Guide(GuideKind.REGEX, "([a-z]{1,9}x?){1,900}y")
        )
    assert busy.value.retry_after_s >= 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [("121", "maximum at $"), ('"x"', "type at $"), ("12", None), ("1{", "not JSON")],
)
def test_an_answer_that_breaks_its_schema_is_logged_with_the_schemas_digest(
    compiler: Callable[..., GuideCompiler],
    caplog: pytest.LogCaptureFixture,
    answer: str,
    said: str | None,
) -> None:
    with caplog.at_level(logging.ERROR):
        assert compiler().fits(_AGE, answer) == (said is None)
    if said is not None:
        assert said in caplog.text
        assert "sha256" in caplog.text
        assert answer not in caplog.text.replace(said, "")


def _finished(ids: list[int], stop: tuple[int, ...] = ()) -> list[list[int]]:
    """The ids that a judge is given for an answer that ends with these."""
    judged: list[list[int]] = []
    sink = JudgedSink(Collector(), lambda ids: judged.append(list(ids)))
    request = GenerationRequest(
        [1], max_tokens=9, end_ids=frozenset({256}), stop_sequences=(stop,) if stop else ()
    )
    job = Job(request, sink, CharacterBoundary(None), generated=ids)
    sink.send(job, Chunk(ids, finish=FinishReason.STOP))
    return judged


def test_whole_answers_are_judged_without_their_end_and_cut_ones_are_not() -> None:
    assert _finished([49, 50, 256]) == [[49, 50]]
    assert _finished([49, 50], stop=(50,)) == []
    cut: list[object] = []
    job = Job(GenerationRequest([1], max_tokens=1), Collector(), CharacterBoundary(None))
    JudgedSink(Collector(), cut.append).send(job, Chunk([49], finish=FinishReason.LENGTH))
    assert cut == []
