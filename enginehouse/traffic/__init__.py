"""Traffic between versions: routes, experiments, request samples and feedback.

Shared by the adapter and the release controller. The controller writes `Routes`, which the adapters
follow; the adapters return `RequestSample`s.
"""

from enginehouse.traffic.assignment import assign, bucket
from enginehouse.traffic.routes import Arm, ExperimentArm, ExperimentRoute, Routes, ShadowRoute
from enginehouse.traffic.samples import Feedback, Outcome, RequestSample, SamplePage

__all__ = [
    "Arm",
    "ExperimentArm",
    "ExperimentRoute",
    "Feedback",
    "Outcome",
    "RequestSample",
    "Routes",
    "SamplePage",
    "ShadowRoute",
    "assign",
    "bucket",
]
