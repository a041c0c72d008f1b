"""How requests are divided between versions, and what each of them came to.

The vocabulary that the adapter and the release controller share: `Routes` go one way, from the
controller to the adapters; `RequestSample`s come back.
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
