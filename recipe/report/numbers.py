"""How reports write numbers: scores in per cent, differences in points."""

from __future__ import annotations


def percent(score: float) -> str:
    """A fraction in per cent (correlations times 100)."""
    return f"{100 * score:.1f}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * difference:+.1f}"
