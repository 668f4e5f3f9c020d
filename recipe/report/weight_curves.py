"""Every task's weight against steps: a few tasks by name, the others as the grey they stand out from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from recipe.report.curves import dress
from recipe.report.files import save_figure
from recipe.report.plot import COLOURS, GREY
from recipe.report.task_weights import RankedTask, RecordedWeights, title

_NAMED = 4  # at either end of the ranking; all tasks where there are no more than these
_HIGH, _LOW, _REST = COLOURS["classification"], COLOURS["commonsense"], "#CCCCCC"
_WIDE = 4  # from there on a range has three ticks at 1, 2 and 5 times powers of ten
_LINE_HEIGHT = 0.045  # of a name, in heights of the axes


def plot_weights(
    path: Path, runs: Sequence[RecordedWeights], ranking: Sequence[RankedTask], end_task: str | None
) -> None:
    """Draws ``task_weights.png``: means over runs, and for tasks with names the range of the runs.

    Tasks above the equal weight are solid lines, those below dashed, so that grey print tells them apart.

    Args:
        path: The picture's.
        runs: At least one, comparable.
        ranking: Of :func:`recipe.report.task_weights.rank_tasks`.
        end_task: Named in any case.
    """
    figure = Figure(figsize=(8, 5), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.11, 0.68, 0.78))
    named = named_tasks(ranking, end_task)
    ends: dict[str, float] = {}
    for ranked in reversed(ranking):
        curves = np.array([run.weights[ranked.task] for run in runs]) / ranked.equal
        if ranked.task in named:
            ends[ranked.task] = _draw_named(axes, runs[0].steps, curves, ranked)
        else:
            axes.plot(runs[0].steps, curves.mean(axis=0), color=_REST, linewidth=0.8, zorder=1)
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":", zorder=2)
    axes.set_yscale("log")  # META-TARTAN's steps are of the weight's logarithm
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > _WIDE * low else MaxNLocator(6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0)
    axes.set_xlabel("step", fontsize=9)
    dress(axes, "weight / equal weight", empty=False)
    _name_lines(axes, ends, ranking, end_task)
    notes = [
        f"{len(ranking) - len(named)} other tasks in grey" if len(ranking) > len(named) else "",
        f"means of {len(runs)} runs, bands: their range" if len(runs) > 1 else "",
        "numbers: last tenth of the steps",
    ]
    figure.text(0.02, 0.97, title(end_task), fontsize=12, fontweight="bold", va="top")
    figure.text(0.98, 0.965, "; ".join(filter(None, notes)), fontsize=8, color=GREY, va="top", ha="right")
    save_figure(path, figure)


def named_tasks(ranking: Sequence[RankedTask], end_task: str | None) -> set[str]:
    """Those at both ends of the ranking, and the end task."""
    tasks = [ranked.task for ranked in ranking]
    return {*tasks[:_NAMED], *tasks[-_NAMED:], *(task for task in tasks if task == end_task)}


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The nearest places, in the same ascending order, with gaps between them and as far as possible within bounds."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, low, moved[-1] + gap if moved else low))
    top = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], top)
        top = moved[index] - gap
    return moved


def _draw_named(axes: Axes, steps: Sequence[int], curves: NDArray[np.float64], ranked: RankedTask) -> float:
    """Draws (R, steps) relative weights and returns where the line ends."""
    colour, mean = _colour(ranked), curves.mean(axis=0)
    axes.plot(steps, mean, color=colour, linewidth=1.6, linestyle="-" if colour == _HIGH else "--", zorder=3)
    if len(curves) > 1:
        axes.fill_between(steps, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.12, linewidth=0)
    return float(mean[-1])


def _colour(ranked: RankedTask) -> str:
    return _HIGH if ranked.weight > ranked.equal else _LOW


def _name_lines(axes: Axes, ends: dict[str, float], ranking: Sequence[RankedTask], end_task: str | None) -> None:
    """Writes names to the right of the lines' ends, moved apart where they would overlap."""
    by_task = {ranked.task: ranked for ranked in ranking}
    ascending = sorted(ends, key=lambda task: ends[task])
    low, high = np.log(axes.get_ylim())
    heights = [(float(np.log(ends[task])) - low) / (high - low) for task in ascending]
    for task, height, place in zip(ascending, heights, spread_out(heights, _LINE_HEIGHT, 0, 1), strict=True):
        ranked = by_task[task]
        axes.plot([1, 1.03], [height, place], transform=axes.transAxes, color=GREY, linewidth=0.6, clip_on=False)
        axes.text(
            1.04,
            place,
            f"{task} {ranked.weight / ranked.equal:.2f}",
            transform=axes.transAxes,
            color=_colour(ranked),
            fontsize=8.5,
            fontweight="bold" if task == end_task else "normal",
            va="center",
        )
