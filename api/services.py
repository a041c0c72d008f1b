"""What opened stages offer each other and their routes, by type."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from fastapi import Depends, Request

from enginehouse.errors import SettingsError

_T = TypeVar("_T")


class Services:
    """One value a type. What is offered lives as long as the application."""

    def __init__(self, stack: AsyncExitStack) -> None:
        """`stack` closes what is `shared`."""
        self._stack = stack
        self._offered: dict[type[Any], Any] = {}

    def offer(self, value: object, kind: type[Any] | None = None) -> None:
        """Offer a value under its own type, or under `kind`."""
        self._offered[kind or type(value)] = value

    def find(self, kind: type[_T]) -> _T | None:
        """What is offered under a type; None if nothing is."""
        found: _T | None = self._offered.get(kind)
        return found

    def made(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """What is offered under a type; made by the first who asks. It needs no closing."""
        found = self.find(kind)
        if found is None:
            found = make()
            self.offer(found, kind)
        return found

    def required(self, kind: type[_T], needed_by: str) -> _T:
        """What is offered under a type.

        Raises:
            SettingsError: if nothing is; `needed_by` says what asks for it.
        """
        found = self.find(kind)
        if found is None:
            raise SettingsError(
                f"{needed_by} needs {kind.__name__}, which no installed stage offers"
            )
        return found

    async def shared(
        self, kind: type[_T], open_: Callable[[], AbstractAsyncContextManager[_T]]
    ) -> _T:
        """What is offered under a type; the first who asks opens it, the application closes it."""
        found = self.find(kind)
        if found is None:
            found = await self._stack.enter_async_context(open_())
            self.offer(found, kind)
        return found


def service(kind: type[_T]) -> Any:
    """The default of a route parameter that takes what is offered under a type."""

    async def found(request: Request) -> _T:
        services: Services = request.app.state.services
        return services.required(kind, request.url.path)

    return Depends(found)
