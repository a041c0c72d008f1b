"""OpenAI's `service_tier`: what is asked for, and what was given."""

from __future__ import annotations

from enginehouse.api.call import PRIORITIES, Call

#: Asked for → what it is called, and its priority class; other tiers are the default.
_TIERS = {
    "flex": ("flex", "low"),
    "priority": ("priority", "high"),
    "fast": ("priority", "high"),
}


def wish(call: Call, tier: str | None) -> None:
    """Note which tier the caller asks for; a stage may lower the priority again."""
    if tier is None:
        return
    named, priority = _TIERS.get(tier, ("default", "normal"))
    call.tier = named
    call.priority = PRIORITIES[priority]


def served_tier(call: Call) -> str | None:
    """The tier that a call was served in; None if it asked for none."""
    if call.tier == "priority" and call.priority < PRIORITIES["high"]:
        return "default"
    return call.tier
