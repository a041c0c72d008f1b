"""Derives replicas for a demand, cost, and autoscaling thresholds from one replica's capacity."""

from __future__ import annotations

import math

from enginehouse.perf.measurement import Figures
from pydantic import BaseModel

#: Planned share of the capacity. The rest is for bursts, the load of a failed replica, and the time
#: until a new replica has started.
UTILISATION = 0.7
_HOUR_S = 3600.0
_MILLION = 1e6


class Sizing(BaseModel):
    """The sizing of a fleet.

    Attributes:
        requests_per_s, tokens_per_s: capacity of one replica.
        in_flight: mean requests in flight of a replica (Little's law: rate times duration).
        utilisation: planned share of the capacity.
        demand_per_s: requests a second of the whole fleet, if a demand was given.
        replicas: replicas for that demand.
        cost_per_million_tokens: of output tokens at the planned utilisation, in the price's
            currency.
        scale_out_in_flight: requests in flight of a replica above which to add one.
        scale_in_in_flight: requests in flight of a replica below which to remove one.
    """

    requests_per_s: float
    tokens_per_s: float
    in_flight: float
    utilisation: float
    demand_per_s: float | None
    replicas: int | None
    cost_per_million_tokens: float | None
    scale_out_in_flight: float
    scale_in_in_flight: float


def size(
    rate: float,
    figures: Figures,
    *,
    demand_per_s: float | None = None,
    price_per_hour: float | None = None,
    utilisation: float = UTILISATION,
) -> Sizing:
    """Size a fleet.

    Args:
        rate: capacity of one replica, in requests a second.
        figures: measurements at that rate.
        demand_per_s: requests a second of the whole fleet.
        price_per_hour: price of one replica.
        utilisation: planned share of the capacity.
    """
    in_flight = rate * figures.total.mean / 1000
    tokens_per_s = rate * figures.tokens / max(1, figures.requests - figures.failed)
    replicas = None if demand_per_s is None else math.ceil(demand_per_s / (utilisation * rate))
    cost = None
    if price_per_hour is not None:
        cost = price_per_hour / (utilisation * tokens_per_s * _HOUR_S) * _MILLION
    return Sizing(
        requests_per_s=round(rate, 3),
        tokens_per_s=round(tokens_per_s, 1),
        in_flight=round(in_flight, 2),
        utilisation=utilisation,
        demand_per_s=demand_per_s,
        replicas=None if replicas is None else max(1, replicas),
        cost_per_million_tokens=None if cost is None else round(cost, 4),
        scale_out_in_flight=round(utilisation * in_flight, 2),
        scale_in_in_flight=round(utilisation * in_flight / 2, 2),
    )
