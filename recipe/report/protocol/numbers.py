"""How the report writes numbers: scores in per cent, differences in points."""

from __future__ import annotations

from recipe.protocol.bootstrap import Interval
from recipe.protocol.compare import Spread

NONE = "-"


def percent(score: float) -> str:
    """A fraction in per cent (correlations times 100)."""
    return f"{100 * score:.1f}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * difference:+.1f}"


def mean_and_deviation(spread: Spread | None) -> str:
    """Mean and standard deviation over seeds."""
    if spread is None:
        return NONE
    return percent(spread.mean) + ("" if spread.deviation is None else f" ± {percent(spread.deviation)}")


def interval(bounds: Interval | None) -> str:
    """An interval of differences, in points."""
    return NONE if bounds is None else f"{points(bounds[0])} to {points(bounds[1])}"


def p_value(p: float) -> str:
    """Three digits: a thousand resamples know no more."""
    return f"{p:.3f}"


def counted(number: int, noun: str) -> str:
    """A number and its noun, which takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
