"""Enginehouse: turns a model checkpoint into a versioned, safely released chat endpoint."""

import os
from importlib.metadata import version

__version__ = version("enginehouse")

# gRPC's fork handlers occasionally lose their poller's file descriptor and abort the process (seen
# once in the adapter at a start under load). None of our child processes uses gRPC before exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
