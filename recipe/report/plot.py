"""The report as a picture: every task's score beside its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recipe.report.files import save_figure
from recipe.report.results import TaskResult, aggregate, in_report_order

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = {
    "classification": "#0072B2",
    "commonsense": "#D55E00",
    "mrc": "#009E73",
    "summarization": "#CC79A7",
    "regression": "#E69F00",
    "tagging": "#56B4E9",
    "masked_lm": "#F0E442",
}
GREY = "#8A8A8A"
_ROW = 0.25  # inches a task takes
_GAP = 0.8  # rows between two families
_HEADROOM, _FOOTROOM = 0.75, 0.6  # inches for title and legend, and for the axis


def plot_results(path: Path, results: Sequence[TaskResult], run_name: str) -> None:
    """Draws ``report.png``: a row a task, grouped by family, from the baseline (hollow) to the score (filled)."""
    ordered = in_report_order(results)[::-1]
    places = _places(ordered)
    rows = places[-1] + 2
    height = _HEADROOM + _FOOTROOM + _ROW * rows
    figure = Figure(figsize=(8, height), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.24, _FOOTROOM / height, 0.67, _ROW * rows / height))
    for place, result in zip(places, ordered, strict=True):
        _draw_task(axes, place, result)
    _dress(axes, places, ordered)
    _title(figure, ordered, run_name, height)
    save_figure(path, figure)


def dress_rows(axes: Axes, *, name_size: float, number_size: float, grid: bool = True) -> None:
    """Gives a picture of named rows its look: a grey axis below, and neither a frame nor ticks beside the names.

    Args:
        axes: The rows' names along y, numbers along x.
        name_size: Of the names' font, in points.
        number_size: Of the numbers' font, in points.
        grid: Whether thin lines behind the rows continue the numbers' ticks.
    """
    axes.tick_params(axis="y", length=0, labelsize=name_size)
    axes.tick_params(axis="x", labelsize=number_size, color=GREY)
    if grid:
        axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
        axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def colour_names(axes: Axes, families: Sequence[str]) -> None:
    """Writes each row's name in its family's colour.

    Args:
        axes: The rows' names along y.
        families: Of the rows, from the bottom.
    """
    for label, family in zip(axes.get_yticklabels(), families, strict=True):
        label.set_color(COLOURS[family])


def _places(results: Sequence[TaskResult]) -> list[float]:
    """Each task's height on the axis, in rows, with a gap wherever the family changes."""
    place, places = 0.0, []
    for before, result in zip([None, *results], results, strict=False):
        if before is not None:
            place += 1 if before.family == result.family else 1 + _GAP
        places.append(place)
    return places


def _draw_task(axes: Axes, place: float, result: TaskResult) -> None:
    colour = COLOURS[result.family]
    baseline, score = 100 * result.baseline_score, 100 * result.score
    axes.plot([baseline, score], [place, place], color=colour, linewidth=2.2, alpha=0.45, zorder=2)
    axes.plot(baseline, place, "o", markersize=5.5, markerfacecolor="white", markeredgecolor=GREY, zorder=3)
    axes.plot(score, place, "o", markersize=7, color=colour, zorder=4)
    right = score >= baseline
    axes.annotate(
        f"{score:.1f}",
        (score, place),
        xytext=(7 if right else -7, 0),
        textcoords="offset points",
        va="center",
        ha="left" if right else "right",
        fontsize=7.5,
        color="#333333",
    )


def _dress(axes: Axes, places: Sequence[float], results: Sequence[TaskResult]) -> None:
    left = min(-4.0, *(_left_end(result) for result in results))
    axes.set_xlim(left, 107)
    axes.set_ylim(-1, places[-1] + 1)
    axes.set_xticks([tick for tick in range(-100, 101, 20) if tick >= left])
    axes.set_xlabel("primary metric, % (Matthews correlation x 100)", fontsize=9)
    axes.set_yticks(places, [result.task for result in results])
    colour_names(axes, [result.family for result in results])
    dress_rows(axes, name_size=8.5, number_size=8.5)


def _left_end(result: TaskResult) -> float:
    label = 9 if result.score < result.baseline_score else 4
    return min(100 * result.score - label, 100 * result.baseline_score - 4)


def _title(figure: Figure, results: Sequence[TaskResult], run_name: str, height: float) -> None:
    title = f"{run_name}: {100 * aggregate(results):.1f} % over {len(results)} task{'s' if len(results) > 1 else ''}"
    figure.text(0.03, 1 - 0.18 / height, title, fontsize=12, fontweight="bold", va="top")
    families = list(dict.fromkeys(result.family for result in reversed(results)))
    handles = [_dot(COLOURS[family], COLOURS[family], family) for family in families]
    figure.legend(
        handles=[*handles, _dot("white", GREY, "baseline")],
        loc="upper left",
        bbox_to_anchor=(0.025, 1 - 0.48 / height),
        ncols=len(handles) + 1,
        frameon=False,
        fontsize=8.5,
        borderpad=0,
        borderaxespad=0,
        handlelength=1,
        handletextpad=0.4,
        columnspacing=1.4,
    )


def _dot(face: str, edge: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="o", markersize=6, markerfacecolor=face, markeredgecolor=edge, label=label
    )
