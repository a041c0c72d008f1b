"""Filter `endpoint`: an external HTTP service judges each text."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import dataclass

import httpx
from enginehouse.gateway.content.config import EndpointConfig
from enginehouse.gateway.content.filters import JudgeFilter
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict
from pydantic import BaseModel, ValidationError

from enginehouse.errors import SettingsError

_log = logging.getLogger(__name__)


class JudgeResponse(BaseModel):
    """The service's answer; further fields are ignored."""

    flagged: bool
    categories: list[str] = []


def endpoint_filter(config: EndpointConfig, client: httpx.AsyncClient) -> JudgeFilter:
    """Create the filter.

    Raises:
        SettingsError: if the token's environment variable is not set.
    """
    name = config.name or config.type
    headers = {"Content-Type": "application/json"}
    if config.token_env is not None:
        token = os.environ.get(config.token_env)
        if not token:
            raise SettingsError(
                f"{config.token_env} is not set, and content filter {name} needs it"
            )
        headers["Authorization"] = f"Bearer {token}"
    judge = EndpointJudge(name, config, client, headers)
    return JudgeFilter(name, Action(config.action), config, judge)


@dataclass(frozen=True, slots=True)
class EndpointJudge:
    """Posts each text to the service."""

    name: str
    config: EndpointConfig
    client: httpx.AsyncClient
    headers: dict[str, str]

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:
        """See `Judge`."""
        # ASCII only: a text may contain lone surrogates, which UTF-8 cannot encode.
        body = json.dumps({"text": text, "stage": side.value})
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await self.client.post(
                    str(self.config.url), content=body, headers=self.headers, timeout=None
                )
            answer = JudgeResponse.model_validate_json(response.raise_for_status().content)
        except (httpx.HTTPError, TimeoutError, ValidationError) as error:
            # Only the type of the error: its message may contain the text or the token.
            _log.warning("content filter %s gave no verdict: %s", self.name, type(error).__name__)
            return JudgeVerdict(flagged=self.config.on_failure == "block", failed=True)
        return JudgeVerdict(answer.flagged, tuple(answer.categories))
