"""A training run as a picture: the loss and the aggregate of the evaluations against steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recipe.errors import UserError
from recipe.report.files import save_figure
from recipe.report.plot import COLOURS, GREY

LOSS = "loss/scaled/mean"
AGGREGATE = "metrics/aggregate"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics file, in order of steps; a last line that a killed run left unfinished is dropped.

    Raises:
        UserError: Another line is not a JSON object with a step.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            int(record["step"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise UserError(
                f"{path}, line {number}: not a JSON object with a step; remove the line to go on without it"
            ) from error
        records.append(record)
    return records


def series(records: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric, where it was logged and finite."""
    found = [(record["step"], record[name]) for record in records if record.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Moving average over the last ``window`` values (fewer at the start)."""
    means = []
    for stop in range(1, len(values) + 1):
        recent = values[max(0, stop - window) : stop]
        means.append(sum(recent) / len(recent))
    return means


def plot_curves(path: Path, metrics_file: Path, run_name: str) -> None:
    """Draws ``curves.png`` from a run's metrics file (one JSON object a step)."""
    records = read_metrics(metrics_file)
    figure = Figure(figsize=(8, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    _draw_loss(above, *series(records, LOSS))
    _draw_aggregate(below, *series(records, AGGREGATE))
    figure.suptitle(run_name, fontsize=12, fontweight="bold", x=0.02, ha="left")
    save_figure(path, figure)


def dress(axes: Axes, label: str, empty: bool) -> None:
    """Gives a picture of curves its look: a light grid, no frame, and a word in place of what is missing.

    Args:
        axes: With steps along x.
        label: Of what is along y.
        empty: Whether there is no curve.
    """
    axes.set_ylabel(label, fontsize=9)
    axes.tick_params(labelsize=8.5, color=GREY)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if empty:
        axes.text(0.5, 0.5, "not logged in this run", transform=axes.transAxes, ha="center", color=GREY)


def _draw_loss(axes: Axes, steps: list[int], values: list[float]) -> None:
    axes.plot(steps, values, color=GREY, alpha=0.45, linewidth=0.9, label="every interval")
    window = max(1, len(values) // 20)
    axes.plot(steps, smooth(values, window), color=COLOURS["classification"], linewidth=2, label=f"mean of {window}")
    axes.axhline(1.0, color=COLOURS["commonsense"], linewidth=1, linestyle="--", label="uniform prediction")
    axes.set_ylim(bottom=0)
    dress(axes, "training loss, scaled", empty=not steps)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)


def _draw_aggregate(axes: Axes, steps: list[int], values: list[float]) -> None:
    axes.plot(steps, [100 * value for value in values], "o-", color=COLOURS["mrc"], linewidth=2, markersize=4)
    axes.set_xlabel("step", fontsize=9)
    dress(axes, "aggregate, %", empty=not steps)
