"""Times in words, the same wherever they are told."""

from __future__ import annotations

_LONG = 120


def duration(seconds: float) -> str:
    """A time in the unit that suits it; none is below 0."""
    shown = max(0.0, seconds)
    if shown < 10 and round(shown, 1) != round(shown):
        return f"{shown:.1f} s"
    if shown < _LONG:
        return f"{shown:.0f} s"
    if shown < 60 * _LONG:
        return f"{shown / 60:,.0f} min"
    return f"{shown / 3600:,.1f}".removesuffix(".0") + " h"
