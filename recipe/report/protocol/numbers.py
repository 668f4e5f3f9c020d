"""How the report writes spreads, intervals and counts."""

from __future__ import annotations

from recipe.protocol.bootstrap import Interval
from recipe.protocol.compare import Spread
from recipe.report.numbers import percent, points

NONE = "-"


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
