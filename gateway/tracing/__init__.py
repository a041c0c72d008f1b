"""Metrics and spans of whole calls."""

from __future__ import annotations

from enginehouse.api.registration import Registration
from enginehouse.gateway.tracing.config import ObservabilityConfig
from enginehouse.gateway.tracing.opening import open_stage

registration = Registration("observability", 10, open_stage, ObservabilityConfig)
