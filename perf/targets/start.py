"""Measures the time to the first answer, memory, and the gain of a shared prefix."""

from __future__ import annotations

import asyncio
import time
from statistics import median

import httpx
import psutil
from enginehouse.client.wire import Target
from enginehouse.perf.load.entry_points import open_entry_point
from enginehouse.perf.load.generator import flawless
from enginehouse.perf.private_stack import MODEL, PrivateStack, private_home, running
from enginehouse.perf.processes import StackProcesses
from enginehouse.perf.profile import Concurrency, Lengths, Profile, RequestKind
from enginehouse.perf.prompts import PromptMaker
from enginehouse.perf.targets.outcome import TargetFigure

from enginehouse.bundle import Bundle
from enginehouse.errors import StackError
from enginehouse.tls import tls_context

_STARTS = 3
_PREFIXES = 10
_MIB = 2**20
_SHARED = Profile(
    name="prefix",
    description="A prefix of 1,000 tokens, and a question.",
    mix=[RequestKind(name="q", input=Lengths(mean=24), output=Lengths(mean=2), shared_prefix=1000)],
    load=Concurrency(kind="concurrency", levels=[1]),
)


def start_and_rest(bundle: Bundle) -> list[TargetFigure]:
    """Start a private stack several times, and measure its memory and its prefix cache.

    Raises:
        StackError, ServingError: if it does not start or does not answer.
    """
    took: list[float] = []
    with private_home(bundle) as env:
        for number in range(-1, _STARTS):
            began = time.perf_counter()
            with running(env) as stack:
                _answer(stack)
                # The first start is not counted, because it also copies and verifies the bundle.
                if number >= 0:
                    took.append(round(time.perf_counter() - began, 2))
                if number == _STARTS - 1:
                    rest = [*_memory(stack), asyncio.run(_prefix(stack, bundle))]
    started = TargetFigure(
        name="start of an installed stack to its first answer",
        value=median(took),
        bound=10,
        at_least=False,
        unit="s",
        values=took,
        note=f"median of {_STARTS} starts, from the command to the answer's last byte",
    )
    return [started, *rest]


def _answer(stack: PrivateStack) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    url = f"{stack.settings.addresses.api_url}/v1/chat/completions"
    answer = httpx.post(url, json=body, timeout=60.0, trust_env=False, verify=tls_context(url))
    if not answer.is_success:
        raise StackError(f"the first answer was {answer.status_code}: {answer.text[:300]}")


def _memory(stack: PrivateStack) -> list[TargetFigure]:
    engine = set(StackProcesses.find(stack.settings.addresses).roles["engine"])
    top = psutil.Process(stack.process.pid)
    family = [p for p in [top, *top.children(recursive=True)] if p.pid not in engine]
    rss = sum(process.memory_info().rss for process in family) / _MIB
    pss = sum(process.memory_full_info().pss for process in family) / _MIB
    parts = ", ".join(f"{_name(p)} {p.memory_info().rss / _MIB:.0f}" for p in family)
    return [
        TargetFigure(
            name="RSS of everything but the engine",
            value=round(rss, 1),
            bound=400,
            at_least=False,
            unit="MiB",
            note=f"{parts}; pages that they share counted once: {pss:.0f} MiB (PSS)",
        )
    ]


def _name(process: psutil.Process) -> str:
    """The role of a process; never an argument of Triton, which includes its control secret."""
    argv = process.cmdline()
    model_file = next((a for a in argv if a.endswith("/model.py")), None)
    if model_file is not None:
        return model_file.split("/")[-3].rpartition(".")[2]
    program = argv[0].rpartition("/")[2]
    return argv[-1] if program.startswith("python") else program


async def _prefix(stack: PrivateStack, bundle: Bundle) -> TargetFigure:
    maker = PromptMaker(bundle)
    ratios = []
    async with open_entry_point("adapter", stack.settings.addresses, Target(MODEL)) as send:
        for number in range(-1, _PREFIXES):
            prompts = maker.prompts(_SHARED, 2, place=f"prefix {number}")
            cold, warm = [(await flawless(send, [prompt], 1)).ttft.p50 for prompt in prompts]
            if number >= 0:
                ratios.append(round(warm / cold, 3))
    return TargetFigure(
        name="TTFT of a shared prefix of 1,000 tokens / cold",
        value=median(ratios),
        bound=0.2,
        at_least=False,
        unit="",
        values=ratios,
        note=f"median of {_PREFIXES} prefixes, each asked twice",
    )
