"""Tenant names as metric labels, bounded in number."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"
_MOST = 50


class TenantLabels:
    """The label of a tenant: its name if it is configured, else ``other``.

    If more tenants are configured than labels are allowed, the first ones keep their names.
    """

    def __init__(self, names: Iterable[str], most: int = _MOST) -> None:
        """Choose the names that become labels; `most` is their number besides ``other``."""
        # Without API keys this is the only tenant.
        ordered = dict.fromkeys(("default", *names))
        self._known = frozenset(list(ordered)[:most])

    def of(self, tenant: str) -> str:
        """The label of a tenant."""
        return tenant if tenant in self._known else OTHER
