"""The model that `up` builds and registers when the registry is empty."""

from __future__ import annotations

from collections.abc import Callable

from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import DEFAULT_MODEL, default_checkpoint
from enginehouse.build.plan import BuildPlan
from enginehouse.registry import Registry

from enginehouse.bundle import Bundle
from enginehouse.settings import Settings


def ensure_model(settings: Settings, registry: Registry, report: Callable[[str], None]) -> None:
    """Ensure that at least one model has a champion.

    An existing model without a champion is left alone: that was a user's decision.

    Raises:
        EnginehouseError: if the build or the registry fails.
    """
    if registry.models():
        return
    output = settings.bundles_dir / DEFAULT_MODEL
    if output.exists():
        bundle = Bundle.open(output)
    else:
        report(f"building {DEFAULT_MODEL} (SmolLM2-135M-Instruct) for the CPU, once")
        plan = BuildPlan(
            default_checkpoint(),
            DEFAULT_MODEL,
            "openvino",
            output,
            references_dir=settings.references_dir,
        )
        bundle = build_bundle(plan, lambda text: report(f"  {text}"))
    report(f"registering {DEFAULT_MODEL}")
    record = registry.register(bundle, DEFAULT_MODEL)
    registry.promote(DEFAULT_MODEL, record.version)
    report(f"{DEFAULT_MODEL} version {record.version} is the champion")
