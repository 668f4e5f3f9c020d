"""The charts of scores: by number of tasks, by share of the training data, and by step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from recipe.protocol.compare import Findings, Spread, spread
from recipe.protocol.comparison import Comparison, Start
from recipe.report.numbers import percent
from recipe.report.plot import COLOURS, GREY
from recipe.report.protocol.document import Chart
from recipe.report.protocol.marks import DASHES, MEAN, PALETTE, identity, rounded, tooltip


def scale_chart(comparison: Comparison, findings: Findings) -> Chart | None:
    """Figure 1 of the paper: scores against the number of pre-finetuning tasks.

    None without several such numbers, or where starts share one: then they differ in something else.
    """
    starts = [start for start in comparison.starts if start.tasks is not None and start.strategy is None]
    numbers = [start.tasks for start in starts if start.tasks]
    if len(numbers) < 2 or len(set(numbers)) < len(numbers):
        return None
    panels = []
    for name, rows in _by_task(comparison, findings, starts):
        for row, start in zip(rows, starts, strict=True):
            row["tasks"] = start.tasks
        axis = {"values": sorted({start.tasks for start in starts if start.tasks is not None})}
        x = {"field": "tasks", "type": "quantitative", "title": "tasks in pre-finetuning", "axis": axis}
        y = {"field": "mean", "type": "quantitative", "title": "score, %", "scale": {"zero": False}}
        ends = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
        shown = tooltip("start", "tasks", "score", "seeds")
        encoding = {"x": x, "tooltip": shown}
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
                "mean": rounded(found.mean),
                "score": percent(found.mean),
                "seeds": found.seeds,
            }
            for (start, part), found in sorted(cells.items())
        ]
        low, high = (pick(value["mean"] for value in values) for pick in (min, max))
        for value in values:
            value["shade"] = (value["mean"] - low) / ((high - low) or 1)
        shares = list(dict.fromkeys(value["share"] for value in sorted(values, key=lambda value: value["fraction"])))
        axes = {
            "x": {"field": "share", "type": "ordinal", "sort": shares, "title": "share of the training examples"},
            "y": {"field": "start", "type": "nominal", "sort": starts, "title": None, "axis": {"labelLimit": 110}},
            "tooltip": tooltip("start", "share", "score", "seeds"),
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
    """The primary metric during fine-tuning, a line for each seed; None where runs were scored at their end alone."""
    starts = [start.label for start in comparison.starts]
    panels = []
    for task in comparison.tasks:
        runs = [run for start in starts for run in findings.runs.get((task.key, start), ())]
        if all(len(run.result.curve) < 2 for run in runs):
            continue
        rows = [
            {
                "start": run.start,
                "seed": run.result.seed,
                "step": step,
                "mean": rounded(value),
                "score": percent(value),
            }
            for run in runs
            for step, value in run.result.curve
        ]
        pick = f"pick_{len(panels)}"
        encoding: dict[str, Any] = {
            "x": {"field": "step", "type": "quantitative", "title": "step"},
            "y": {"field": "mean", "type": "quantitative", "title": "score, %", "scale": {"zero": False}},
            "color": identity(starts, PALETTE, line=True),
            "strokeDash": identity(starts, DASHES, line=True),
            "detail": {"field": "seed"},
            "opacity": {"condition": {"param": pick, "value": 0.9}, "value": 0.08},
            "tooltip": tooltip("start", "seed", "step", "score"),
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


def _by_task(
    comparison: Comparison, findings: Findings, starts: Sequence[Start]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Panels' names and rows, one for each start (without numbers where there are no runs).

    The mean of the tasks comes first, if every start has them all with a common seed.
    """
    panels = [
        (
            f"{task.key}, {task.primary_metric}",
            [_row(start, findings.spread(task.key, start.label)) for start in starts],
        )
        for task in comparison.tasks
    ]
    means = [_mean_of_tasks(comparison, findings, start) for start in starts]
    if len(panels) > 1 and None not in means:
        panels.insert(0, (MEAN, [_row(start, mean) for start, mean in zip(starts, means, strict=True)]))
    return panels


def _row(start: Start, found: Spread | None) -> dict[str, Any]:
    if found is None:
        return {"start": start.label}
    deviation = found.deviation or 0.0
    return {
        "start": start.label,
        "mean": rounded(found.mean),
        "score": percent(found.mean),
        "seeds": found.seeds,
        "low": rounded(found.mean - deviation),
        "high": rounded(found.mean + deviation),
    }


def _mean_of_tasks(comparison: Comparison, findings: Findings, start: Start) -> Spread | None:
    """Over the seeds that have all tasks; None where there is no such seed."""
    scores = [
        {run.result.seed: run.result.score for run in findings.runs.get((task.key, start.label), ())}
        for task in comparison.tasks
    ]
    seeds = sorted(set.intersection(*map(set, scores)))
    return spread([fmean(own[seed] for own in scores) for seed in seeds]) if seeds else None
