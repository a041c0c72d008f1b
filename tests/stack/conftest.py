from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.conftest import RunningStack


@pytest.fixture(scope="session")
def sdk(stack: RunningStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="unused", max_retries=0) as client:
        yield client
