"""No request waits for a thread that it does not need: two busy cores would not give it one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.api.speaking import speaking


def test_a_request_stays_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent_away: list[Any] = []
    run_sync = anyio.to_thread.run_sync

    async def watched(call: Any, *arguments: Any, **options: Any) -> Any:
        sent_away.append(call)
        return await run_sync(call, *arguments, **options)

    with speaking(tmp_path) as adapter:
        monkeypatch.setattr(anyio.to_thread, "run_sync", watched)
        adapter.chat("Hello.")
        adapter.chat("Hello.", stream=True)
        adapter.complete("Hello.", prompt="Hi")
        for path in ("/v1/models", "/v1/batches", "/v1/usage", "/metrics"):
            adapter.http.get(path)
    assert sent_away == []
