"""How many tokens one response carries.

Every response costs the same in the stub, in Triton and in the adapter, whatever it carries. On
a host whose cores the engine shares with them, the more streams there are, the more of the
engine's time goes into responses; several tokens in one response cap that share. With few
streams every token goes out at once. Figures: docs/engine-settings.md.
"""

from __future__ import annotations

#: (streams in flight at most, tokens in one response at least)
_POLICY = ((4, 1), (8, 2), (16, 4), (32, 6))
_BEYOND = 8


def tokens_per_response(in_flight: int) -> int:
    """Tokens to gather before a response that is neither first nor last goes out."""
    for streams, tokens in _POLICY:
        if in_flight <= streams:
            return tokens
    return _BEYOND
