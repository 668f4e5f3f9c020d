"""The report's charts as Vega-Lite: told apart by place, shape and dashes first, and by colour besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from recipe.protocol.compare import Findings, Gain
from recipe.protocol.comparison import Comparison, Start
from recipe.report.plot import COLOURS, GREY
from recipe.report.protocol.document import Chart, Spec
from recipe.report.protocol.numbers import interval, p_value, percent, points

_INK = "#333333"
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 2, 1, 2])
_PALETTE = (_INK, *COLOURS.values())
_MEAN = "mean of the tasks"


def forest_chart(comparison: Comparison, findings: Findings) -> Chart:
    """Every gain with both of its intervals."""
    rows = [_forest_row(gain) for gain in findings.gains.values()]
    starts = [start.label for start in comparison.starts if not start.reference]
    tasks = [task.key for task in comparison.tasks]
    y = {"field": "task", "type": "nominal", "sort": tasks, "title": None}
    several = len(starts) > 1
    offset = {"yOffset": {"field": "start", "sort": starts}} if several else {}
    colour = _identity(starts, _PALETTE[1:], legend=several)
    shape = _identity(starts, _SHAPES, legend=several)
    decided = {"condition": {"test": "datum.verdict != 'no clear difference'", **colour}, "value": "white"}
    tooltip = _tooltip("task", "start", "gain", "over seeds", "over examples", "p", "corrected p", "verdict")

    def layer(low: str, mark: Spec, **ends: Spec) -> Spec:
        encoding = {**ends, "y": y, **offset, "color": colour, "tooltip": tooltip}
        return {"transform": [{"filter": f"isValid(datum.{low})"}], "mark": mark, "encoding": encoding}

    def bar(low: str, high: str, width: float) -> Spec:
        ends = {"x": {"field": low, "type": "quantitative"}, "x2": {"field": high}}
        return layer(low, {"type": "rule", "strokeWidth": width}, **ends)

    def cap(end: str) -> Spec:
        return layer(
            end, {"type": "tick", "size": 9, "thickness": 1.5, "opacity": 1}, x={"field": end, "type": "quantitative"}
        )

    title = f"gain over {comparison.reference.label}, points"
    point = {
        "mark": {"type": "point", "size": 60, "strokeWidth": 1.8, "opacity": 1},
        "encoding": {
            "x": {"field": "mean", "type": "quantitative", "title": title, "axis": {"tickCount": 8}},
            "y": y,
            **offset,
            "stroke": colour,
            "fill": decided,
            "shape": shape,
            "tooltip": tooltip,
        },
    }
    panel: Spec = {
        "data": {"values": rows},
        "height": {"step": 17 if several else 22},
        "layer": [
            _zero("x"),
            bar("seeds_low", "seeds_high", 1.2),
            cap("seeds_low"),
            cap("seeds_high"),
            bar("examples_low", "examples_high", 4),
            point,
        ],
    }
    caption = (
        f"Gain over {comparison.reference.label} by task, in points; right of the line is better. Thick bar: 95 % "
        "interval over validation examples; thin line with ends: over seeds. Filled: helped or hurt by the rule; "
        "hollow: no clear difference."
    )
    return Chart("gains", [panel], caption)


def scale_chart(comparison: Comparison, findings: Findings) -> Chart | None:
    """Figure 1 of the paper: scores against the number of pre-finetuning tasks; None without several such numbers."""
    starts = [start for start in comparison.starts if start.tasks is not None and start.strategy is None]
    if len({start.tasks for start in starts if start.tasks}) < 2:
        return None
    panels = []
    for name, rows in _by_task(comparison, findings, starts):
        for row, start in zip(rows, starts, strict=True):
            row["tasks"] = start.tasks
        axis = {"values": sorted({start.tasks for start in starts if start.tasks is not None})}
        x = {"field": "tasks", "type": "quantitative", "title": "tasks in pre-finetuning", "axis": axis}
        y = {"field": "mean", "type": "quantitative", "title": "score, %", "scale": {"zero": False}}
        ends = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
        tooltip = _tooltip("start", "tasks", "score", "seeds")
        encoding = {"x": x, "tooltip": tooltip}
        colour = COLOURS["classification"]
        panels.append(
            {
                "title": name,
                "data": {"values": [row for row in rows if "mean" in row]},
                "height": 150,
                "layer": [
                    {"mark": {"type": "rule", "color": GREY}, "encoding": {**encoding, **ends}},
                    {"mark": {"type": "line", "color": colour}, "encoding": {**encoding, "y": y}},
                    {
                        "mark": {"type": "point", "size": 50, "filled": True, "opacity": 1, "color": colour},
                        "encoding": {**encoding, "y": y},
                    },
                ],
            }
        )
    caption = (
        "Score after fine-tuning against the number of tasks in pre-finetuning (0: the plain backbone). Bars: standard "
        "deviation over seeds. Each panel has its own scale."
    )
    return Chart("figure1", panels, caption)


def strategy_chart(comparison: Comparison, findings: Findings) -> Chart | None:
    """Figure 2 of the paper: bars by batching strategy; None without several strategies."""
    starts = [start for start in comparison.starts if start.strategy is not None]
    if len({start.strategy for start in starts}) < 2:
        return None
    names = [str(start.strategy) for start in starts]
    panels = []
    for name, rows in _gains_by_task(comparison, findings, starts):
        y = {"field": "strategy", "type": "nominal", "sort": names, "title": None}
        x = {"field": "mean", "type": "quantitative", "title": "gain, points"}
        tooltip = _tooltip("start", "strategy", "gain", "over seeds")
        bar = {
            "mark": {"type": "bar", "color": "#9CC7E4", "stroke": _INK, "strokeWidth": 0.8},
            "encoding": {"x": x, "y": y, "tooltip": tooltip},
        }
        whisker = {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "color": _INK},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "tooltip": tooltip},
        }
        panels.append(
            {
                "title": name,
                "data": {"values": rows},
                "height": {"step": 26},
                "layer": [bar, whisker, _zero("x")],
            }
        )
    caption = (
        f"Gain over {comparison.reference.label} by batching strategy of the pre-finetuning. Lines: 95 % interval over "
        "seeds, where there are several. Each panel has its own scale."
    )
    return Chart("figure2", panels, caption)


def low_resource_chart(comparison: Comparison, findings: Findings) -> Chart | None:
    """Figure 3 of the paper: scores by share of the training data and start; None without several shares."""
    starts = [start.label for start in comparison.starts]
    panels = []
    for task in comparison.tasks:
        cells = {(start, part): s for (key, start, part), s in findings.fractions.items() if key == task.key}
        if len({part for _, part in cells}) < 2:
            continue
        values = [
            {
                "start": start,
                "fraction": part,
                "share": f"{100 * part:g} %",
                "mean": round(100 * spread.mean, 2),
                "score": percent(spread.mean),
                "seeds": spread.seeds,
            }
            for (start, part), spread in sorted(cells.items())
        ]
        low, high = (pick(value["mean"] for value in values) for pick in (min, max))
        for value in values:
            value["shade"] = (value["mean"] - low) / ((high - low) or 1)
        shares = list(dict.fromkeys(value["share"] for value in sorted(values, key=lambda value: value["fraction"])))
        axes = {
            "x": {"field": "share", "type": "ordinal", "sort": shares, "title": "share of the training examples"},
            "y": {"field": "start", "type": "nominal", "sort": starts, "title": None, "axis": {"labelLimit": 110}},
            "tooltip": _tooltip("start", "share", "score", "seeds"),
        }
        scale = {"domain": [0, 1], "range": ["#FFFFFF", COLOURS["tagging"]], "interpolate": "rgb"}
        fill = {"field": "shade", "type": "quantitative", "scale": scale, "legend": None}
        panels.append(
            {
                "title": f"{task.key}, {task.primary_metric}, %",
                "data": {"values": values},
                "height": {"step": 28},
                "layer": [
                    {"mark": {"type": "rect", "stroke": "#CCCCCC"}, "encoding": {**axes, "fill": fill}},
                    {"mark": {"type": "text", "fontSize": 9}, "encoding": {**axes, "text": {"field": "score"}}},
                ],
            }
        )
    caption = "Score by share of the training examples and start, mean over seeds; darker is better, panel by panel."
    return Chart("figure3", panels, caption) if panels else None


def curves_chart(comparison: Comparison, findings: Findings) -> Chart | None:
    """The primary metric during fine-tuning, a line for each seed; None without evaluations."""
    starts = [start.label for start in comparison.starts]
    panels = []
    for task in comparison.tasks:
        rows = [
            {
                "start": run.start,
                "seed": run.result.seed,
                "step": step,
                "mean": round(100 * value, 2),
                "score": percent(value),
            }
            for start in starts
            for run in findings.runs.get((task.key, start), ())
            for step, value in run.result.curve
        ]
        if not rows:
            continue
        pick = f"pick_{len(panels)}"
        encoding: dict[str, Any] = {
            "x": {"field": "step", "type": "quantitative", "title": "step"},
            "y": {"field": "mean", "type": "quantitative", "title": "score, %", "scale": {"zero": False}},
            "color": _identity(starts, _PALETTE, line=True),
            "strokeDash": _identity(starts, _DASHES, line=True),
            "detail": {"field": "seed"},
            "opacity": {"condition": {"param": pick, "value": 0.9}, "value": 0.08},
            "tooltip": _tooltip("start", "seed", "step", "score"),
        }
        panels.append(
            {
                "title": f"{task.key}, {task.primary_metric}",
                "data": {"values": rows},
                "height": 170,
                "params": [{"name": pick, "select": {"type": "point", "fields": ["start"]}, "bind": "legend"}],
                "mark": {"type": "line", "point": {"size": 18}, "strokeWidth": 1.6},
                "encoding": encoding,
            }
        )
    caption = (
        "Validation score during fine-tuning, a line for each seed. On the page, a click in a legend picks a start."
    )
    return Chart("curves", panels, caption) if panels else None


def _forest_row(gain: Gain) -> dict[str, Any]:
    low, high = gain.over_examples
    row = {
        "task": gain.task,
        "start": gain.start,
        "mean": _rounded(gain.mean),
        "examples_low": _rounded(low),
        "examples_high": _rounded(high),
        "gain": points(gain.mean),
        "over seeds": interval(gain.over_seeds),
        "over examples": interval(gain.over_examples),
        "p": p_value(gain.p),
        "corrected p": p_value(gain.p_corrected),
        "verdict": gain.verdict.value,
    }
    if gain.over_seeds is not None:
        row |= {"seeds_low": _rounded(gain.over_seeds[0]), "seeds_high": _rounded(gain.over_seeds[1])}
    return row


def _by_task(
    comparison: Comparison, findings: Findings, starts: Sequence[Start]
) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Panels' names and rows, one for each start (without numbers where there are no runs); the mean of the tasks first
    if every start has them all."""
    panels = []
    for task in comparison.tasks:
        rows: list[dict[str, Any]] = []
        for start in starts:
            row: dict[str, Any] = {"start": start.label}
            spread = findings.spread(task.key, start.label)
            if spread is not None:
                deviation = spread.deviation or 0.0
                row |= {"mean": _rounded(spread.mean), "score": percent(spread.mean), "seeds": spread.seeds}
                row |= {"low": _rounded(spread.mean - deviation), "high": _rounded(spread.mean + deviation)}
            rows.append(row)
        panels.append((f"{task.key}, {task.primary_metric}", rows))
    if len(panels) > 1 and all("mean" in row for _, rows in panels for row in rows):
        means = [fmean(rows[index]["mean"] for _, rows in panels) for index in range(len(starts))]
        first = [
            {"start": start.label, "mean": mean, "low": mean, "high": mean, "score": f"{mean:.1f}"}
            for start, mean in zip(starts, means, strict=True)
        ]
        panels.insert(0, (_MEAN, first))
    return panels


def _gains_by_task(
    comparison: Comparison, findings: Findings, starts: Sequence[Start]
) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Panels' names and rows, one for each start that has a gain; the mean of the tasks first."""
    panels = []
    means = [(start, findings.mean_gain(start.label)) for start in starts]
    panels.append((_MEAN, [_gain_row(start, *mean) for start, mean in means if mean is not None]))
    for task in comparison.tasks:
        gains = [(start, findings.gains.get((task.key, start.label))) for start in starts]
        rows = [_gain_row(start, gain.mean, gain.over_seeds) for start, gain in gains if gain is not None]
        panels.append((f"{task.key}, {task.primary_metric}", rows))
    return panels


def _gain_row(start: Start, mean: float, over_seeds: tuple[float, float] | None) -> dict[str, Any]:
    row = {
        "start": start.label,
        "strategy": start.strategy,
        "mean": _rounded(mean),
        "gain": points(mean),
        "over seeds": interval(over_seeds),
    }
    return row if over_seeds is None else row | {"low": _rounded(over_seeds[0]), "high": _rounded(over_seeds[1])}


def _zero(axis: str) -> Spec:
    return {"mark": {"type": "rule", "color": _INK}, "encoding": {axis: {"datum": 0}}}


def _identity(
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


def _tooltip(*names: str) -> list[dict[str, str]]:
    return [{"field": name, "type": "nominal"} for name in names]


def _rounded(difference: float) -> float:
    """In points, with digits enough for a picture."""
    return round(100 * difference, 2)
