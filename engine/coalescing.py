"""How many tokens one response carries.

A response costs the stub, Triton and the adapter the same CPU time, however many tokens it carries.
Where the engine shares its cores with them, that cost grows with the number of streams. Putting
several tokens into one response bounds it. With few streams each token is sent as it is generated,
but not more often than a screen refreshes. Measurements: docs/engine-settings.md.
"""

from __future__ import annotations

import math

#: (maximum of streams in flight, minimum of tokens in one response)
_POLICY = ((4, 1), (8, 2), (16, 4), (32, 6))
_BEYOND = 8
#: Time between two frames of a screen at 60 Hz, in seconds.
_FRAME_S = 1 / 60


def tokens_per_response(in_flight: int, step_s: float) -> int:
    """Tokens to gather before a response is sent; the first and the last are sent at once.

    Args:
        in_flight: streams in the batch.
        step_s: mean duration of a step, in seconds.
    """
    by_load = next((tokens for streams, tokens in _POLICY if in_flight <= streams), _BEYOND)
    in_a_frame = math.ceil(_FRAME_S / max(step_s, _FRAME_S / _BEYOND))
    return max(by_load, in_a_frame)
