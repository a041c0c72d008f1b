"""The raw baseline: the runtime's pipeline alone in a separate process with the same settings.

It reads one workload for each line of stdin, and answers each with one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from enginehouse.engine.openvino import generation_config, pipeline
from enginehouse.perf.workload import BurstWorkload

from enginehouse.bundle import Bundle
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.text import ChatTemplate, Tokenizer


def main() -> None:
    """Run workloads until stdin ends. Arguments: bundle directory, engine settings as JSON."""
    bundle = Bundle.open(Path(sys.argv[1]))
    settings = EngineSettings.model_validate_json(sys.argv[2])
    engine = pipeline(bundle.engine_dir, settings)
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    template = ChatTemplate(bundle.chat_template, tokenizer)
    for line in sys.stdin:
        workload = BurstWorkload(**json.loads(line))
        prompts = [template.encode(conversation) for conversation in workload.conversations()]
        print(json.dumps(_run(engine, settings, prompts, workload.new_tokens)), flush=True)  # noqa: T201


def _run(
    engine: Any, settings: EngineSettings, prompts: list[list[int]], new_tokens: int
) -> dict[str, Any]:
    cpu_began = time.process_time()
    began = time.perf_counter()
    handles = [
        engine.add_request(
            index,
            openvino.Tensor(np.array([prompt], dtype=np.int64)),
            generation_config(
                GenerationRequest(input_ids=prompt, max_tokens=new_tokens), settings=settings
            ),
        )
        for index, prompt in enumerate(prompts)
    ]
    arrivals: list[list[float]] = [[] for _ in prompts]
    tokens = [0] * len(prompts)
    while engine.has_non_finished_requests():
        engine.step()
        now = time.perf_counter() - began
        for index, handle in enumerate(handles):
            while handle.can_read():
                for output in handle.read().values():
                    tokens[index] += len(output.generated_ids)
                    arrivals[index].append(now)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": {"engine": time.process_time() - cpu_began},
        "traces": [[a, t] for a, t in zip(arrivals, tokens, strict=True)],
    }


if __name__ == "__main__":
    main()
