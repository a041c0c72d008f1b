"""Enginehouse: from a model checkpoint to a versioned, safely released chat endpoint."""

from importlib.metadata import version

__version__ = version("enginehouse")
