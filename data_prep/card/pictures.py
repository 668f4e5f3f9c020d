"""The data card's pictures: how large the training sets are, and how long their examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data_prep.card.facts import StreamFacts
from recipe.report.files import save_figure
from recipe.report.plot import COLOURS, GREY, colour_names, dress_rows

_ROW = 0.22  # inches a task takes
_HEAD, _FOOT = 0.55, 0.55  # inches for the title and for the axis


def plot_sizes(path: Path, facts: Sequence[StreamFacts]) -> None:
    """A bar a training set, on a logarithmic axis, coloured by family."""
    figure, axes = _canvas(facts, "training examples")
    for place, one in enumerate(reversed(facts)):
        axes.barh(place, one.manifest.written, height=0.7, color=COLOURS[one.task.family.value], zorder=2)
        axes.annotate(
            f"{one.manifest.written:,}",
            (one.manifest.written, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color="#333333",
        )
    axes.set_xscale("log")
    axes.set_xlim(1, 8 * max(one.manifest.written for one in facts))
    save_figure(path, figure)


def plot_lengths(path: Path, facts: Sequence[StreamFacts]) -> None:
    """A box a training set: quartiles of the tokens of an example's longest row, whiskers from 5 % to 95 %."""
    figure, axes = _canvas(facts, "tokens of an example's longest row: quartiles, and 5 % to 95 % of the examples")
    drawn = axes.boxplot(
        [one.lengths[:, 1] for one in reversed(facts)],
        positions=range(len(facts)),
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        manage_ticks=False,
        medianprops={"color": "white", "linewidth": 1.4},
        whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )
    for box, one in zip(drawn["boxes"], reversed(facts), strict=True):
        box.set(facecolor=COLOURS[one.task.family.value], edgecolor="none", zorder=2)
    axes.set_xlim(left=0)
    save_figure(path, figure)


def _canvas(facts: Sequence[StreamFacts], title: str) -> tuple[Figure, Axes]:
    """Axes with a row for each stream, the first on top."""
    height = _HEAD + _FOOT + _ROW * len(facts)
    figure = Figure(figsize=(8, height), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.22, _FOOT / height, 0.72, _ROW * len(facts) / height))
    figure.text(0.03, 1 - 0.15 / height, title, fontsize=11, fontweight="bold", va="top")
    axes.set_ylim(-0.7, len(facts) - 0.3)
    axes.set_yticks(range(len(facts)), [one.stream.task for one in reversed(facts)])
    colour_names(axes, [one.task.family.value for one in reversed(facts)])
    dress_rows(axes, name_size=8, number_size=8)
    return figure, axes
