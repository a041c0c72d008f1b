"""The proof of an engine: compares it with what torch computes from the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from enginehouse.build.formats import ParityThresholds
from enginehouse.build.parity_report import (
    GreedyAgreement,
    KlDivergence,
    Measurements,
    Perplexity,
    TaskScore,
)
from enginehouse.build.proof_set import DISTRIBUTION_EVERY, GREEDY_TOKENS, TASK_TOKENS, ProofSet
from enginehouse.build.reference import Continuation, ProofReference, TextReference
from numpy.typing import NDArray

from enginehouse.text import Tokenizer

#: From ids [n], the natural log-probabilities of the next token, float64 [n, vocabulary].
NextTokenLogProbs = Callable[[Sequence[int]], NDArray[Any]]
#: From prompts and a number of tokens, the greedy ids of each prompt; end tokens are ignored.
Continue = Callable[[Sequence[Sequence[int]], int], list[list[int]]]


def measure(
    reference: ProofReference,
    proofs: ProofSet,
    tokenizer: Tokenizer,
    distributions: NextTokenLogProbs | str,
    continue_greedily: Continue,
) -> Measurements:
    """Compare an engine with its reference.

    Args:
        reference: the reference result of the checkpoint.
        proofs: the texts, prompts and tasks.
        tokenizer: the bundle's tokenizer.
        distributions: the engine's next-token log-probabilities, or the reason if there are none.
        continue_greedily: generates with the engine.
    """
    perplexity, divergence = _distributions(reference, distributions)
    prompts = [c.prompt_ids for c in reference.greedy]
    answers = continue_greedily([c.prompt_ids for c in reference.tasks], TASK_TOKENS)
    solved = [
        task.solved_by(tokenizer.decode(ids))
        for task, ids in zip(proofs.tasks, answers, strict=True)
    ]
    return Measurements(
        tokenizer_differs_on=_tokenizer_differences(reference, proofs, tokenizer),
        perplexity=perplexity,
        kl_divergence=divergence,
        greedy=_agreement(reference.greedy, continue_greedily(prompts, GREEDY_TOKENS)),
        tasks=TaskScore(
            total=len(solved),
            reference_solved=sum(reference.tasks_solved),
            engine_solved=sum(solved),
            lost=tuple(
                task.prompt
                for task, before, now in zip(
                    proofs.tasks, reference.tasks_solved, solved, strict=True
                )
                if before and not now
            ),
        ),
    )


def failures(measured: Measurements, allowed: ParityThresholds) -> tuple[str, ...]:
    """One sentence for each threshold that is exceeded; empty if the engine is proven."""
    found: list[str] = []
    if measured.tokenizer_differs_on:
        found.append(
            f"the tokenizer gives other ids than the checkpoint's on "
            f"{measured.tokenizer_differs_on} of the proof's texts"
        )
    if measured.perplexity is not None:
        ratio = measured.perplexity.ratio
        if not ratio <= allowed.perplexity_ratio:
            found.append(f"perplexity ratio {ratio:.4f} is above {allowed.perplexity_ratio}")
    divergence = measured.kl_divergence.mean_nats
    if divergence is not None and not divergence <= allowed.mean_kl_nats:
        found.append(f"mean KL divergence {divergence:.4f} nats is above {allowed.mean_kl_nats}")
    share = measured.greedy.equal_tokens_share
    if share < allowed.equal_tokens_share:
        found.append(
            f"share of equal greedy tokens {share:.3f} is below {allowed.equal_tokens_share}"
        )
    if len(measured.tasks.lost) > allowed.tasks_lost:
        found.append(
            f"{len(measured.tasks.lost)} tasks that the reference solves are lost, "
            f"{allowed.tasks_lost} may be"
        )
    return tuple(found)


def _tokenizer_differences(
    reference: ProofReference, proofs: ProofSet, tokenizer: Tokenizer
) -> int:
    pairs = [
        *zip(proofs.texts, (t.token_ids for t in reference.texts), strict=True),
        *zip(proofs.prompts, (c.prompt_ids for c in reference.greedy), strict=True),
    ]
    return sum(tuple(tokenizer.encode(text)) != ids for text, ids in pairs)


def _distributions(
    reference: ProofReference, distributions: NextTokenLogProbs | str
) -> tuple[Perplexity | None, KlDivergence]:
    if isinstance(distributions, str):
        return None, KlDivergence(mean_nats=None, positions=0, unavailable=distributions)
    before: list[float] = []
    now: list[float] = []
    divergences: list[float] = []
    for text in reference.texts:
        log_probs = distributions(text.token_ids)
        following = np.asarray(text.token_ids[1:])
        now.extend(log_probs[np.arange(len(following)), following].tolist())
        before.extend(text.log_probs)
        divergences.extend(_divergences(text, log_probs))
    old, new = (math.exp(-float(np.mean(values))) for values in (before, now))
    return (
        Perplexity(reference=old, engine=new, ratio=new / old, positions=len(now)),
        KlDivergence(mean_nats=float(np.mean(divergences)), positions=len(divergences)),
    )


def _divergences(text: TextReference, log_probs: NDArray[Any]) -> list[float]:
    """KL(reference ‖ engine) at each stored position, in nats.

    The reference stores its likeliest tokens; all others count as one outcome. The result is a
    lower bound of the divergence over single tokens (Cover and Thomas, Elements of Information
    Theory, log sum inequality). It is tight if the stored tokens have nearly all of the
    probability.
    """
    result: list[float] = []
    for index, kept in enumerate(text.distributions):
        old = np.exp(np.asarray(kept.log_probs))
        new = np.exp(log_probs[index * DISTRIBUTION_EVERY][list(kept.ids)])
        p = np.append(old, max(1.0 - old.sum(), 1e-12))
        q = np.append(new, max(1.0 - new.sum(), 1e-12))
        result.append(float((p * np.log(p / np.maximum(q, 1e-30))).sum()))
    return result


def _agreement(
    reference: Sequence[Continuation], generated: Sequence[Sequence[int]]
) -> GreedyAgreement:
    """Compare greedy continuations. Tokens after the first difference count as different."""
    first: list[int | None] = []
    equal = total = 0
    for expected, ids in zip(reference, generated, strict=True):
        pairs = zip(expected.generated_ids, ids, strict=True)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        first.append(at)
        total += len(ids)
        equal += len(ids) if at is None else at
    return GreedyAgreement(
        prompts=len(first),
        identical=first.count(None),
        first_divergence=tuple(first),
        equal_tokens_share=equal / total,
    )
