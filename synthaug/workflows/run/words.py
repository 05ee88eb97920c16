"""Times in words."""

from __future__ import annotations

_LONG = 120


def duration(seconds: float) -> str:
    """A time in the unit that suits it, like `--budget` takes it but with a space."""
    if seconds < _LONG:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 60 * _LONG else f"{seconds / 3600:.0f} h"


def budget_flag(minutes: int) -> str:
    """Whole minutes as `--budget` takes them."""
    return f"{minutes}m" if minutes < 2 * 60 else f"{-(-minutes // 60)}h"
