"""Computes a reference result with torch in float32 on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from enginehouse.build.proof_set import (
    DISTRIBUTION_EVERY,
    GREEDY_TOKENS,
    TASK_TOKENS,
    ProofSet,
)
from enginehouse.build.reference import (
    Continuation,
    NextTokenDistribution,
    ProofReference,
    TextReference,
)

from enginehouse.errors import CheckpointError
from enginehouse.text import Tokenizer

#: Number of likeliest tokens to store of a distribution; all others count as one outcome.
_KEPT_TOKENS = 24
_DIGITS = 4


def compute_reference(
    checkpoint: Path, checkpoint_sha256: str, proofs: ProofSet, tokenizer: Tokenizer
) -> ProofReference:
    """Run the proof set through torch. Needs 4 bytes of memory for each weight.

    Raises:
        CheckpointError: if transformers cannot load the checkpoint.
    """
    model = _load(checkpoint)
    encode = tokenizer.encode
    tasks = [_greedy(model, encode(task.prompt), TASK_TOKENS) for task in proofs.tasks]
    return ProofReference(
        checkpoint_sha256=checkpoint_sha256,
        proof_set=proofs.digest,
        made_with={
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "precision": "float32",
        },
        texts=tuple(_text(model, encode(text)) for text in proofs.texts),
        greedy=tuple(_greedy(model, encode(prompt), GREEDY_TOKENS) for prompt in proofs.prompts),
        tasks=tuple(tasks),
        tasks_solved=tuple(
            task.solved_by(tokenizer.decode(answer.generated_ids))
            for task, answer in zip(proofs.tasks, tasks, strict=True)
        ),
    )


def _load(checkpoint: Path) -> Any:
    where, extra = (checkpoint, {})
    if checkpoint.is_file():
        where, extra = checkpoint.parent, {"gguf_file": checkpoint.name}
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(where), dtype=torch.float32, local_files_only=True, **extra
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{checkpoint}: transformers cannot load it for the reference: {error}"
        ) from error
    return model.eval()


def _text(model: Any, ids: list[int]) -> TextReference:
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    log_probs = torch.log_softmax(logits.double(), dim=-1)
    following = log_probs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    kept = [log_probs[at].topk(_KEPT_TOKENS) for at in range(0, len(ids), DISTRIBUTION_EVERY)]
    return TextReference(
        token_ids=tuple(ids),
        log_probs=tuple(_rounded(following)),
        distributions=tuple(
            NextTokenDistribution(
                ids=tuple(top.indices.tolist()), log_probs=tuple(_rounded(top.values))
            )
            for top in kept
        ),
    )


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]


def _greedy(model: Any, ids: list[int], tokens: int) -> Continuation:
    """Greedy ids; generation continues past end tokens, as it does in the engine's proof."""
    prompt = torch.tensor([ids])
    generated = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0][len(ids) :]
    return Continuation(prompt_ids=tuple(ids), generated_ids=tuple(generated.tolist()))
