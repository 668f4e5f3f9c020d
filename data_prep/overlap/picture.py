"""The overlap as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from data_prep.overlap.shares import Share
from recipe.report.files import save_figure

_CELL = 0.36  # inches
_LEFT, _TOP, _GAP = 1.7, 1.3, 0.35  # inches for the rows' names, the columns' names and title, and below a panel
_NORM = PowerNorm(0.5, 0, 100)  # a few per cent should be seen


def plot_shares(path: Path, evaluation: Sequence[Share], training: Sequence[Share]) -> None:
    """Draws ``overlap.png``: evaluation sets by training sets above, training sets by training sets below.

    A cell is the share of the row's examples that the column has, word for word or nearly, in %. Sets that have
    nothing in common with any other are left out.
    """
    panels = [
        ("evaluation sets (rows) found in training sets, %", evaluation),
        ("training sets (rows) found in other training sets, %", training),
    ]
    panels = [(title, [share for share in shares if share.duplicates]) for title, shares in panels]
    panels = [(title, shares) for title, shares in panels if shares]
    tables = [_table(shares) for _, shares in panels]
    width = max(6.0, _CELL * max((len(columns) for _, columns, _ in tables), default=0) + _LEFT + 0.3)
    heights = [_CELL * len(rows) + _TOP + _GAP for rows, _, _ in tables]
    total = sum(heights) or 1.0
    figure = Figure(figsize=(width, total), dpi=150)
    FigureCanvasAgg(figure)
    top = total
    for (title, _), (rows, columns, values), height in zip(panels, tables, heights, strict=True):
        bottom = (top - height + _GAP) / total
        size = (_CELL * len(columns) / width, _CELL * len(rows) / total)
        axes = figure.add_axes((_LEFT / width, bottom, *size))
        _draw(axes, rows, columns, values)
        figure.text(0.02, (top - 0.12) / total, title, fontsize=10, fontweight="bold", va="top")
        top -= height
    if not panels:
        figure.text(0.02, 0.5, "no duplicates between any two sets", fontsize=10)
    save_figure(path, figure)


def _table(shares: Sequence[Share]) -> tuple[list[str], list[str], np.ndarray]:
    """Row names, column names and the shares in %, in alphabetical order."""
    rows = sorted({share.of.partition("/")[0] for share in shares})
    columns = sorted({share.found_in.partition("/")[0] for share in shares})
    values = np.zeros((len(rows), len(columns)))
    for share in shares:
        place = rows.index(share.of.partition("/")[0]), columns.index(share.found_in.partition("/")[0])
        values[place] = 100 * share.duplicates
    return rows, columns, values


def _draw(axes: Axes, rows: Sequence[str], columns: Sequence[str], values: np.ndarray) -> None:
    axes.imshow(values, cmap="Blues", norm=_NORM, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if value:
            colour = "white" if value > 35 else "#333333"
            axes.text(column, row, _percent(value), ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="left", rotation_mode="anchor", fontsize=7.5)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), rows, fontsize=7.5)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axes.grid(which="minor", color="#E6E6E6", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _percent(value: float) -> str:
    return "<.1" if value < 0.1 else f"{value:.1f}" if value < 9.5 else f"{value:.0f}"
