"""`docs/clients.md`, from the runs of the clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.client_matrix.outcomes import ClientRun, Verdict, cell

COLUMNS = (
    "chat",
    "streaming",
    "turns",
    "structured",
    "tools",
    "embeddings",
    "errors",
    "usage",
)
_HEAD = """# Clients that work

Made by `make test-clients` with Enginehouse {version} ({system}); do not edit it by hand.
Each client ran in an environment of its own, with the versions that the table names, against one
real stack: a text model and an embedding model behind the adapter, and Triton's ports. A scenario
is a script that does what a user of the client does; `tests/client_matrix/clients/` has them.

- **chat**: an answer. **streaming**: the answer in chunks. **turns**: the answer is appended as the
  client gives it, and the model is asked again. **structured**: an answer of a schema. **tools**: a
  call that is required, and its result sent back. **embeddings**. **errors**: an overflow of the
  context and an unknown model, as the client's own errors. **usage**: tokens are counted.
- **yes**: all of its scenarios work. **limit**: it does not work and is not promised; the reason is
  below. **-**: the client has no such feature, or no scenario asks for it.

"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says of the run.

    Attributes:
        system: processor and operating system.
    """

    version: str
    system: str


def render(runs: Sequence[ClientRun], facts: Facts) -> str:
    """The page as Markdown."""
    head = _HEAD.format(version=facts.version, system=facts.system)
    return head + _table(runs) + "".join(_section(run) for run in runs)


def _table(runs: Sequence[ClientRun]) -> str:
    rows = [
        ["client", "version", *COLUMNS, "run on"],
        ["---"] * (3 + len(COLUMNS)),
        *([run.title, "<br>".join(run.versions), *_cells(run), run.date] for run in runs),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cells(run: ClientRun) -> list[str]:
    if run.failure:
        return ["**no**"] * len(COLUMNS)
    return [cell(run.outcomes, column) for column in COLUMNS]


def _section(run: ClientRun) -> str:
    worked = sum(one.verdict == Verdict.WORKS for one in run.outcomes)
    lines = [f"\n## {run.title}\n\n"]
    if run.failure:
        return "".join([*lines, f"Did not run: {_plain(run.failure)}\n"])
    lines.append(f"{worked} of {len(run.outcomes)} scenarios work.\n\n")
    lines += [f"- {one.scenario}{_why(one.verdict, one.detail)}\n" for one in run.outcomes]
    return "".join(lines)


def _why(verdict: Verdict, detail: str) -> str:
    if verdict == Verdict.WORKS:
        return f" ({_plain(detail)})" if detail else ""
    word = "limit" if verdict == Verdict.LIMIT else "does not work"
    return f": **{word}**, {_plain(detail)}"


def _plain(text: str) -> str:
    """Text of a client on one line, that is no markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
