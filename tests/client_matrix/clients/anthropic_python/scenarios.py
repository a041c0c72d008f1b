"""Anthropic's SDK of Python on our `/v1/messages`."""

from __future__ import annotations

import anthropic
import anthropic_scenarios
import probe

anthropic_scenarios.declare(
    anthropic.Anthropic(
        base_url=probe.ROOT_URL, api_key=probe.KEY, max_retries=0, timeout=probe.TIMEOUT_S
    )
)
probe.run()
