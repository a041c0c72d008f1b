"""How many tokens one response carries.

Every response costs the same in the stub, in Triton and in the adapter, whatever it carries. On
a host whose cores the engine shares with them, the more streams there are, the more of the
engine's time goes into responses; several tokens in one response cap that share. With few
streams tokens go out as they come, but not faster than a screen shows them. Figures:
docs/engine-settings.md.
"""

from __future__ import annotations

import math

#: (streams in flight at most, tokens in one response at least)
_POLICY = ((4, 1), (8, 2), (16, 4), (32, 6))
_BEYOND = 8
#: Between two pictures of a screen at 60 Hz, in seconds.
_FRAME_S = 1 / 60


def tokens_per_response(in_flight: int, step_s: float) -> int:
    """Tokens to gather before a response that is neither first nor last goes out.

    Args:
        step_s: what a step takes, in seconds.
    """
    by_load = next((tokens for streams, tokens in _POLICY if in_flight <= streams), _BEYOND)
    in_a_frame = math.ceil(_FRAME_S / max(step_s, _FRAME_S / _BEYOND))
    return max(by_load, in_a_frame)
