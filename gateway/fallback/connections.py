"""Connections to providers, and their API keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
from enginehouse.gateway.fallback.config import ProviderConfig
from enginehouse.gateway.fallback.provider import Provider

from enginehouse.errors import SettingsError


@asynccontextmanager
async def open_providers(
    configs: Mapping[str, ProviderConfig], *, on_retry: Callable[[str], None] = lambda _: None
) -> AsyncIterator[dict[str, Provider]]:
    """Open the connections to providers, by name; they are closed when the block ends.

    Raises:
        SettingsError: if a key's file cannot be read.
    """
    async with AsyncExitStack() as stack:
        found = {}
        for name, config in configs.items():
            key = await asyncio.to_thread(_key, name, config.api_key_file)
            http = await stack.enter_async_context(_client(config, key))
            found[name] = Provider(name, config, http, on_retry=partial(on_retry, name))
        yield found


def _client(config: ProviderConfig, key: str | None) -> httpx.AsyncClient:
    headers = dict(config.headers)
    if key is not None:
        bearer = config.key_header.lower() == "authorization"
        headers[config.key_header] = f"Bearer {key}" if bearer else key
    return httpx.AsyncClient(
        base_url=str(config.base_url),
        headers=headers,
        # Each request has its own deadlines. Redirects are not followed: they could lead to any
        # host.
        timeout=httpx.Timeout(None, connect=config.connect_timeout_s),
        follow_redirects=False,
        trust_env=False,
        proxy=config.proxy,
        limits=httpx.Limits(max_connections=config.most_connections),
    )


def _key(name: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"fallback.providers.{name}.api_key_file: {path} cannot be read "
            f"({type(error).__name__})"
        ) from None
    if not key:
        raise SettingsError(f"fallback.providers.{name}.api_key_file: {path} is empty")
    return key
