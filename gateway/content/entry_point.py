"""Filter `entry_point`: a callable of an installed package judges each text."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from enginehouse.gateway.content.config import EntryPointConfig
from enginehouse.gateway.content.filters import JudgeFilter
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict

from enginehouse.errors import SettingsError

_log = logging.getLogger(__name__)
GROUP = "enginehouse.content_filters"

#: (text, ``input`` or ``output``) → whether it is flagged; may be a coroutine function.
Callback = Callable[[str, str], bool | Awaitable[bool]]


def entry_point_filter(config: EntryPointConfig) -> JudgeFilter:
    """Create the filter; imports the callable.

    Raises:
        SettingsError: if there is no such entry point.
    """
    found = tuple(entry_points(group=GROUP, name=config.entry_point))
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        raise SettingsError(
            f"no installed package has the entry point {config.entry_point!r} in the group "
            f"{GROUP}; there are: {known}"
        )
    name = config.name or config.type
    judge = CallbackJudge(name, found[0].load(), on_failure_block=config.on_failure == "block")
    return JudgeFilter(name, Action(config.action), config, judge)


@dataclass(frozen=True, slots=True)
class CallbackJudge:
    """Calls the callable; one that is not a coroutine function runs in a thread."""

    name: str
    callback: Callback
    on_failure_block: bool

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:
        """See `Judge`."""
        try:
            if inspect.iscoroutinefunction(self.callback):
                answer = await self.callback(text, side.value)
            else:
                answer = await asyncio.to_thread(self.callback, text, side.value)
        except Exception as error:  # noqa: BLE001 - a callable of the user's own may raise anything
            # Only the type of the error: its message may contain the text.
            _log.warning("content filter %s gave no verdict: %s", self.name, type(error).__name__)
            return JudgeVerdict(flagged=self.on_failure_block, failed=True)
        return JudgeVerdict(bool(answer))
