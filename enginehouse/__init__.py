"""Enginehouse: from a model checkpoint to a versioned, safely released chat endpoint."""

import os
from importlib.metadata import version

__version__ = version("enginehouse")

# gRPC's own fork handlers now and then lose their poller's descriptor and end the process (seen
# once in the adapter, at a start under load); no child of ours uses gRPC before its exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
