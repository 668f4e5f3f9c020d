"""The charts of gains: by task, and by batching strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recipe.protocol.compare import Findings, Gain
from recipe.protocol.comparison import Comparison, Start
from recipe.report.numbers import points
from recipe.report.protocol.document import Chart, Spec
from recipe.report.protocol.marks import INK, MEAN, PALETTE, SHAPES, identity, rounded, tooltip, zero
from recipe.report.protocol.numbers import interval, p_value


def forest_chart(comparison: Comparison, findings: Findings) -> Chart:
    """Every gain with both of its intervals."""
    rows = [_forest_row(gain) for gain in findings.gains.values()]
    starts = [start.label for start in comparison.starts if not start.reference]
    tasks = [task.key for task in comparison.tasks]
    y = {"field": "task", "type": "nominal", "sort": tasks, "title": None}
    several = len(starts) > 1
    offset = {"yOffset": {"field": "start", "sort": starts}} if several else {}
    colour = identity(starts, PALETTE[1:], legend=several)
    shape = identity(starts, SHAPES, legend=several)
    decided = {"condition": {"test": "datum.verdict != 'no clear difference'", **colour}, "value": "white"}
    shown = tooltip("task", "start", "gain", "over seeds", "over examples", "p", "corrected p", "verdict")

    def layer(low: str, mark: Spec, **ends: Spec) -> Spec:
        encoding = {**ends, "y": y, **offset, "color": colour, "tooltip": shown}
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
            "tooltip": shown,
        },
    }
    panel: Spec = {
        "data": {"values": rows},
        "height": {"step": 17 if several else 22},
        "layer": [
            zero("x"),
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
        shown = tooltip("start", "strategy", "gain", "over seeds")
        bar = {
            "mark": {"type": "bar", "color": "#9CC7E4", "stroke": INK, "strokeWidth": 0.8},
            "encoding": {"x": x, "y": y, "tooltip": shown},
        }
        whisker = {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "color": INK},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "tooltip": shown},
        }
        panels.append(
            {
                "title": name,
                "data": {"values": rows},
                "height": {"step": 26},
                "layer": [bar, whisker, zero("x")],
            }
        )
    caption = (
        f"Gain over {comparison.reference.label} by batching strategy of the pre-finetuning. Lines: 95 % interval over "
        "seeds, where there are several. Each panel has its own scale."
    )
    return Chart("figure2", panels, caption)


def _forest_row(gain: Gain) -> dict[str, Any]:
    low, high = gain.over_examples
    row = {
        "task": gain.task,
        "start": gain.start,
        "mean": rounded(gain.mean),
        "examples_low": rounded(low),
        "examples_high": rounded(high),
        "gain": points(gain.mean),
        "over seeds": interval(gain.over_seeds),
        "over examples": interval(gain.over_examples),
        "p": p_value(gain.p),
        "corrected p": p_value(gain.p_corrected),
        "verdict": gain.verdict.value,
    }
    if gain.over_seeds is not None:
        row |= {"seeds_low": rounded(gain.over_seeds[0]), "seeds_high": rounded(gain.over_seeds[1])}
    return row


def _gains_by_task(
    comparison: Comparison, findings: Findings, starts: Sequence[Start]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Panels' names and rows, one for each start that has a gain; the mean of the tasks first."""
    panels = []
    means = [(start, findings.mean_gain(start.label)) for start in starts]
    panels.append((MEAN, [_gain_row(start, *mean) for start, mean in means if mean is not None]))
    for task in comparison.tasks:
        gains = [(start, findings.gains.get((task.key, start.label))) for start in starts]
        rows = [_gain_row(start, gain.mean, gain.over_seeds) for start, gain in gains if gain is not None]
        panels.append((f"{task.key}, {task.primary_metric}", rows))
    return panels


def _gain_row(start: Start, mean: float, over_seeds: tuple[float, float] | None) -> dict[str, Any]:
    row = {
        "start": start.label,
        "strategy": start.strategy,
        "mean": rounded(mean),
        "gain": points(mean),
        "over seeds": interval(over_seeds),
    }
    return row if over_seeds is None else row | {"low": rounded(over_seeds[0]), "high": rounded(over_seeds[1])}
