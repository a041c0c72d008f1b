"""The clients there are. A new one is a folder below `clients/` and an entry here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, slots=True)
class Client:
    """One client, in an environment of its own.

    Attributes:
        name: of its folder.
        title: in the table.
        packages: whose versions the table tells; of npm for a node client. None at all for
            requests written from a public source: `source` says which.
        megabytes: that its environment takes on disk.
        torch: whether torch, any build, is installed beside the locked packages.
        timeout_s: only turns a hang into a failure.
        source: what requests were written from.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    megabytes: int = 0
    timeout_s: float = 420.0
    source: str = ""
    loose: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Path:
        """Its requirements and scenarios."""
        return _CLIENTS / self.name

    @property
    def locked(self) -> Path:
        """Its pinned packages of PyPI."""
        return self.folder / "requirements.txt"

    @property
    def package_json(self) -> Path:
        """Its pinned packages of npm, if it is a node client."""
        return self.folder / "package.json"

    @property
    def node(self) -> bool:
        return self.package_json.is_file()

    @property
    def script(self) -> Path:
        return self.folder / ("scenarios.mjs" if self.node else "scenarios.py")


CLIENTS: tuple[Client, ...] = (
    Client("openai_python", "openai (Python)", ("openai",), 70),
    Client("openai_node", "openai (node)", ("openai",), 270),
    Client(
        "ai_sdk",
        "Vercel AI SDK",
        ("ai", "@ai-sdk/openai-compatible", "@ai-sdk/openai"),
        320,
    ),
    Client("anthropic_python", "anthropic (Python), on `/v1/messages`", ("anthropic",), 80),
    Client("langchain", "LangChain", ("langchain", "langchain-openai"), 150),
    Client(
        "llama_index",
        "LlamaIndex",
        (
            "llama-index-core",
            "llama-index-llms-openai-like",
            "llama-index-embeddings-openai-like",
        ),
        300,
    ),
    Client("litellm", "LiteLLM, SDK", ("litellm",), 200),
    Client(
        "litellm_proxy",
        "LiteLLM, proxy before us (with its `/v1/messages`)",
        ("litellm", "anthropic"),
        500,
    ),
    Client("instructor", "instructor", ("instructor", "openai"), 150),
    Client("pydantic_ai", "Pydantic AI", ("pydantic-ai-slim", "openai"), 100),
    Client("outlines", "Outlines", ("outlines", "openai"), 150),
    Client("guidance", "guidance", ("guidance", "openai"), 200),
    Client(
        "open_webui",
        "Open WebUI's requests",
        source="routers/openai.py, routers/tasks.py and utils/payload.py of open-webui 0.12.4",
    ),
    Client("lm_eval", "lm-evaluation-harness", ("lm-eval",), 600),
    Client("guidellm", "guidellm, stock", ("guidellm",), 1500, loose=("torch.txt",)),
    Client("aiperf", "aiperf, stock", ("aiperf",), 1200),
    Client("tritonclient", "tritonclient, NVIDIA's request forms", ("tritonclient",), 200),
)


def chosen(names: str | None) -> tuple[Client, ...]:
    """Clients by name, comma between two; None is all of them.

    Raises:
        SystemExit: naming what there is.
    """
    known = {client.name: client for client in CLIENTS}
    if names is None:
        return CLIENTS
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise SystemExit(f"{name}: no such client; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))
