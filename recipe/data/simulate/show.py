"""The simulation's outcomes as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from recipe.data.simulate.outcome import Outcome
from recipe.report.files import save_figure
from recipe.report.plot import dress_rows

_PARTS = (("real tokens", "#009E73"), ("padding", "#E69F00"), ("waiting for the slowest rank", "#D9D9D9"))
_ROW, _ROOM = 0.42, 1.35  # inches a bar takes, and title, legend and axis


@dataclass(frozen=True)
class Costs:
    """What an outcome costs: bytes on a device (None: unknown backbone) and to a node, hours an epoch."""

    memory: float | None
    download: float
    hours: float


Row = tuple[str, Callable[[Outcome, Costs], str]]
_ROWS: tuple[Row, ...] = (
    ("steps an epoch", lambda o, c: f"{o.steps:,}"),
    ("examples a step", lambda o, c: f"{o.step_examples:,.0f}"),
    ("tasks a step", lambda o, c: f"{o.step_tasks:.1f}"),
    ("tokens a step, no padding", lambda o, c: f"{o.step_tokens:,.0f}"),
    ("microbatches a rank and step", lambda o, c: f"{o.microbatches:.1f}"),
    ("largest microbatch, tokens", lambda o, c: f"{o.largest:,}"),
    ("real tokens", lambda o, c: f"{o.real:.1%}"),
    ("ranks busy (DDP)", lambda o, c: f"{o.busy:.1%}"),
    ("ranks busy (FSDP, lockstep)", lambda o, c: f"{o.lockstep:.1%}"),
    ("useful: busy x real", lambda o, c: f"{o.useful:.1%}"),
    ("useful in lockstep", lambda o, c: f"{o.lockstep * o.real:.1%}"),
    ("memory a device, GB", lambda o, c: "?" if c.memory is None else f"{c.memory / 1e9:.1f}"),
    ("download a node, GB", lambda o, c: f"{c.download / 1e9:.2f}"),
    ("hours an epoch", lambda o, c: f"{c.hours:.2f}"),
)


def make_table(outcomes: Sequence[Outcome], costs: Sequence[Costs], title: str) -> Table:
    """A column for each outcome."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for outcome in outcomes:
        table.add_column(outcome.name.replace("_", " "), justify="right")
    for label, show in _ROWS:
        bold = "bold" if label.startswith("useful:") else None
        table.add_row(label, *map(show, outcomes, costs), style=bold)
    return table


def plot_outcomes(path: Path, outcomes: Sequence[Outcome], title: str) -> None:
    """Where the devices' time goes: a bar for each outcome, and a tick where lockstep leaves its real tokens."""
    height = _ROOM + _ROW * len(outcomes)
    figure = Figure(figsize=(8, height), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.2, 0.5 / height, 0.76, _ROW * len(outcomes) / height))
    for place, outcome in enumerate(reversed(outcomes)):
        left = 0.0
        for (label, colour), share in zip(_PARTS, _shares(outcome), strict=True):
            axes.barh(place, share, 0.66, left, color=colour, label=label if place == 0 else None)
            left += share
        lockstep = 100 * outcome.lockstep * outcome.real
        axes.plot([lockstep, lockstep], [place - 0.4, place + 0.4], color="#333333", linewidth=1.2)
        axes.annotate(f"{100 * outcome.useful:.0f} %", (1.5, place), va="center", fontsize=8.5, color="white")
    axes.set_yticks(range(len(outcomes)), [outcome.name.replace("_", " ") for outcome in reversed(outcomes)])
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the devices' time, % (line: real tokens if ranks run in lockstep)", fontsize=9)
    dress_rows(axes, name_size=9, number_size=8.5, grid=False)
    figure.text(0.03, 1 - 0.15 / height, title, fontsize=11, fontweight="bold", va="top")
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="upper left",
        bbox_to_anchor=(0.025, 1 - 0.42 / height),
        ncols=len(_PARTS),
        frameon=False,
        fontsize=8.5,
        borderpad=0,
    )
    save_figure(path, figure)


def _shares(outcome: Outcome) -> tuple[float, float, float]:
    """Percent of the time that goes into real tokens, padding and waiting."""
    return 100 * outcome.useful, 100 * outcome.busy * (1 - outcome.real), 100 * (1 - outcome.busy)
