from __future__ import annotations

from tests.api.conftest import make_revision

__all__ = ["make_revision"]
