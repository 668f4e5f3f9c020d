"""What the report's charts share: starts are told apart by place, shape and dashes first, and by colour besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipe.report.plot import COLOURS
from recipe.report.protocol.document import Spec

INK = "#333333"
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 2, 1, 2])
PALETTE = (INK, *COLOURS.values())
MEAN = "mean of the tasks"


def zero(axis: str) -> Spec:
    """A line at zero of ``x`` or ``y``."""
    return {"mark": {"type": "rule", "color": INK}, "encoding": {axis: {"datum": 0}}}


def identity(
    starts: Sequence[str], values: Sequence[Any], *, legend: bool = True, line: bool = False
) -> dict[str, Any]:
    """A start's colour, shape or dashes, which repeat beyond so many starts; a legend's symbols are points or lines."""
    given = [values[index % len(values)] for index in range(len(starts))]
    symbol = {"symbolType": "stroke", "symbolSize": 500, "symbolStrokeWidth": 2} if line else {}
    return {
        "field": "start",
        "type": "nominal",
        "scale": {"domain": starts, "range": given},
        "legend": {"orient": "bottom", "columns": 1, "title": None, **symbol} if legend else None,
    }


def tooltip(*names: str) -> list[dict[str, str]]:
    """Fields to show under the pointer, as they are."""
    return [{"field": name, "type": "nominal"} for name in names]


def rounded(value: float) -> float:
    """A score in per cent or a difference in points, with digits enough for a picture."""
    return round(100 * value, 2)
