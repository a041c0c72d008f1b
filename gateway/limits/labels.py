"""Tenants as metric labels: bounded, whoever calls."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"
_MOST = 50


class TenantLabels:
    """The label of a tenant: its name if it is configured, else ``other``.

    Where more tenants are configured than may have labels, the first ones do.
    """

    def __init__(self, names: Iterable[str], most: int = _MOST) -> None:
        """Choose names; `most` is the number of labels besides ``other``."""
        # Without keys there is this one tenant.
        ordered = dict.fromkeys(("default", *names))
        self._known = frozenset(list(ordered)[:most])

    def of(self, tenant: str) -> str:
        """The label."""
        return tenant if tenant in self._known else OTHER
