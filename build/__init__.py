"""Checkpoint → engine bundle: one file a runtime, one registration each."""

from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.plan import BuildPlan

__all__ = ["BuildPlan", "build_bundle"]
