"""Optional stages around a call: one folder each, which registers itself.

A folder that is a stage has ``registration``, a `Registration`, in its ``__init__.py``. No file
names them all, so removing a stage is deleting its folder. Folders and modules without one are what
several stages share. The name is not ``stage``: importing a module ``stage.py`` would overwrite it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from enginehouse.api.registration import Registration


def registrations() -> list[Registration]:
    """The stages of this package; the entry point ``gateway`` of ``enginehouse.stages``."""
    folders = [found.name for found in iter_modules(__path__) if found.ispkg]
    modules = [import_module(f"{__name__}.{name}") for name in folders]
    found = [getattr(module, "registration", None) for module in modules]
    return [one for one in found if isinstance(one, Registration)]
