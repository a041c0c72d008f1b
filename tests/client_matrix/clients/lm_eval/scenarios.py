"""lm-evaluation-harness: tasks of our own with local data, run by its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import probe
from probe import check, scenario

_SCRATCH = Path(probe.SCRATCH)
_ROWS = [
    {"question": "The capital of France is", "answer": " Paris", "other": " Berlin"},
    {"question": "The capital of Portugal is", "answer": " Lisbon", "other": " Rome"},
]
_COMMON = """
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
doc_to_text: "{{{{question}}}}"
"""
_GENERATE = """task: matrix_generate
output_type: generate_until
doc_to_target: "{{answer}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
"""
_CHOICE = """task: matrix_choice
output_type: multiple_choice
doc_to_target: 0
doc_to_choice: ["{{answer}}", "{{other}}"]
metric_list:
  - metric: acc
"""


def _write() -> None:
    data = _SCRATCH / "rows.json"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in _ROWS), "utf-8")
    tasks = _SCRATCH / "tasks"
    tasks.mkdir()
    for name, text in (("generate", _GENERATE), ("choice", _CHOICE)):
        (tasks / f"{name}.yaml").write_text(text + _COMMON.format(data=data), "utf-8")


def _run(model: str, path: str, task: str, *more: str) -> None:
    given = f"model={probe.MODEL},base_url={probe.BASE_URL}{path},num_concurrent=2,max_retries=1"
    if model == "local-completions":
        given += f",tokenizer_backend=huggingface,tokenizer={probe.TOKENIZER}"
    out = _SCRATCH / f"{model}-{task}"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lm_eval",
            "run",
            "--model",
            model,
            "--model_args",
            given,
            "--tasks",
            task,
            "--include_path",
            str(_SCRATCH / "tasks"),
            "--output_path",
            str(out),
            *more,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENAI_API_KEY": probe.KEY},
    )
    sys.stderr.write(done.stdout + done.stderr)
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    check(done.returncode == 0, f"exit status {done.returncode}: {last}")
    check(list(out.rglob("results_*.json")), f"no results: {last}")


@scenario("local-chat-completions: a task that generates", column="chat")
def chat() -> None:
    _run("local-chat-completions", "/chat/completions", "matrix_generate", "--apply_chat_template")


@scenario("local-completions: a task that generates, prompts as token ids", column="chat")
def completions() -> None:
    _run("local-completions", "/completions", "matrix_generate")


@scenario(
    "local-completions: multiple choice by log-likelihood (`echo`, `logprobs: 1`)",
    limit="it compares the most likely token of each place, and the engine gives the chosen "
    "token's log-probability alone",
)
def loglikelihood() -> None:
    _run("local-completions", "/completions", "matrix_choice")


_write()
probe.run()
