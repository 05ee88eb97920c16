"""Budgets as they are given."""

from __future__ import annotations


def budget_flag(minutes: int) -> str:
    """Whole minutes as `--budget` takes them."""
    return f"{minutes}m" if minutes < 2 * 60 else f"{-(-minutes // 60)}h"
