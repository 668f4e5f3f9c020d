"""The report's tables: ours beside the paper's, gains, cost, starts and every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from recipe.protocol.compare import Findings, Gain, Spread, spread
from recipe.protocol.comparison import Comparison, Run
from recipe.protocol.result import FinetuneResult
from recipe.report.numbers import percent, points
from recipe.report.protocol.document import Block, Heading, Row, Table, Text
from recipe.report.protocol.numbers import NONE, counted, interval, mean_and_deviation, p_value
from recipe.report.protocol.paper import PaperColumn, PaperTable, paper_source, paper_tables
from recipe.tasks import get_task

OURS, PAPERS = "run here", "paper"
_BESIDE = (
    "Rows marked *paper* are printed in the MUPPET paper ({source}) and were not run here: other backbones, other "
    "hardware, another search. They show where the paper's gains lie, not what ours should be. Ours are means ± "
    "standard deviations over seeds, accuracy unless said."
)


def score_tables(comparison: Comparison, findings: Findings) -> list[Block]:
    """Ours in the shape of the paper's tables, the paper's rows below them; then the tasks that the paper lacks."""
    keys = {task.key for task in comparison.tasks}
    shown = [table for table in paper_tables() if keys & table.tasks]
    blocks: list[Block] = []
    if shown:
        blocks.append(Text(_BESIDE.format(source=paper_source())))
    for table in shown:
        blocks += [Heading(3, f"{table.title} (the paper's Table {table.number})"), Text(table.note)]
        blocks.append(_beside_paper(comparison, findings, table))
    in_paper = set().union(*(table.tasks for table in shown))
    others = [task for task in comparison.tasks if task.key not in in_paper]
    if others:
        head = ["start", *(f"{task.key} ({task.primary_metric})" for task in others)]
        rows = [
            Row([start.label, *(mean_and_deviation(findings.spread(task.key, start.label)) for task in others)])
            for start in comparison.starts
        ]
        blocks.append(Heading(3, "Tasks that the paper's tables do not have"))
        blocks.append(Table(head, rows, "l" + "r" * len(others)))
    return blocks


def test_table(comparison: Comparison, findings: Findings) -> Table | None:
    """Scores on the test splits, of the runs that were scored there; None without such runs."""
    spreads = {cell: _test_spread(runs) for cell, runs in findings.runs.items()}
    tested = {task for (task, _), found in spreads.items() if found}
    tasks = [task for task in comparison.tasks if task.key in tested]
    if not tasks:
        return None
    head = ["start", *(f"{task.key} ({task.primary_metric})" for task in tasks)]
    rows = [
        Row([start.label, *(mean_and_deviation(spreads.get((task.key, start.label))) for task in tasks)])
        for start in comparison.starts
    ]
    return Table(head, rows, "l" + "r" * len(tasks))


def _test_spread(runs: Sequence[Run]) -> Spread | None:
    scores = [run.result.test_scores[run.result.primary] for run in runs if run.result.test_scores is not None]
    return spread(scores) if scores else None


def gain_table(comparison: Comparison, gains: Sequence[Gain], findings: Findings) -> Table:
    """A start's gains over the reference with their evidence."""
    rows = []
    for gain in gains:
        runs = findings.runs[gain.task, gain.start]
        result = runs[0].result
        rows.append(
            Row(
                [
                    gain.task,
                    gain.verdict.value,
                    points(gain.mean),
                    interval(gain.over_seeds),
                    interval(gain.over_examples),
                    p_value(gain.p),
                    p_value(gain.p_corrected),
                    mean_and_deviation(findings.spread(gain.task, comparison.reference.label)),
                    mean_and_deviation(findings.spread(gain.task, gain.start)),
                    _head(runs),
                    result.primary,
                    f"{len(gain.by_seed)}",
                    f"{result.examples:,}",
                ]
            )
        )
    evidence = ("task", "verdict", "gain", "over seeds", "over examples", "p", "corrected p")
    return Table((*evidence, "reference", "score", "head", "metric", "seeds", "examples"), rows, "llrrrrrrrllrr")


def _head(runs: Sequence[Run]) -> str:
    return "re-used" if any(run.result.reused_head for run in runs) else "new"


def start_table(comparison: Comparison) -> Table:
    """What was compared."""
    rows = []
    for start in comparison.starts:
        role = "reference" if start.reference else "compared"
        state = "finished" if start.unfinished is None else f"not finished: {start.unfinished}"
        tasks = NONE if start.tasks is None else f"{start.tasks}"
        rows.append(Row([start.label, role, tasks, start.strategy or NONE, start.source, state]))
    return Table(("start", "role", "tasks", "strategy", "weights", "state"), rows, "llrlll")


def data_table(comparison: Comparison) -> Table:
    """The streams that were read."""
    several = len({stream.fingerprint for stream in comparison.data}) > 1
    rows = []
    for stream in comparison.data:
        counts = (f"{value:,}" for value in (stream.written, stream.rows, stream.tokens, sum(stream.dropped.values())))
        source = f"{stream.source}, {stream.source_split}"
        licence = get_task(stream.task).origin.licence
        tokenizer = [stream.tokenizer] if several else []
        rows.append(Row([stream.task, stream.split, *tokenizer, *counts, source, stream.short_revision, licence]))
    head = ["task", "split", *["tokenizer"] * several, "examples", "rows", "tokens", "dropped"]
    return Table([*head, "read from", "revision", "licence"], rows, f"ll{'l' * several}rrrrlll")


def pretraining_table(comparison: Comparison) -> Table | None:
    """What the starts' pre-finetuning has cost; None where that is told of none."""
    rows = [
        Row(
            [
                start.label,
                *(f"{value:,}" for value in (start.seen.steps, start.seen.examples, start.seen.tokens)),
                NONE if start.seen.seconds is None else f"{start.seen.seconds / 3600:.2f}",
            ]
        )
        for start in comparison.starts
        if start.seen is not None
    ]
    return Table(("pre-finetuning of", "steps", "examples", "tokens", "hours"), rows, "lrrrr") if rows else None


def cost_table(comparison: Comparison) -> Table:
    """Training examples, tokens and hours by start, the search's and all together."""
    everything = [run.result for run in comparison.runs] + list(comparison.search)
    rows = [
        _cost(start.label, [run.result for run in comparison.runs if run.start == start.label])
        for start in comparison.starts
    ]
    if comparison.search:
        rows.append(_cost("search for settings", comparison.search))
    rows.append(_cost("together", everything))
    return Table(("runs of", "runs", "steps", "examples", "tokens", "hours"), rows, "lrrrrr")


def run_table(comparison: Comparison) -> Table:
    """Every run, those that differ by seed alone in one row, with the settings that the search chose."""
    tasks = {task.key: index for index, task in enumerate(comparison.tasks)}
    starts = {start.label: index for index, start in enumerate(comparison.starts)}

    def place(run: Run) -> tuple[int, int, float, str, int]:
        result = run.result
        return tasks[result.task], starts[run.start], result.fraction, _settings(result), result.seed

    rows = []
    for _, group in groupby(sorted(comparison.runs, key=place), key=lambda run: place(run)[:-1]):
        runs = list(group)
        results, first = [run.result for run in runs], runs[0].result
        scores = (f"{name} {', '.join(percent(result.scores[name]) for result in results)}" for name in first.scores)
        seeds = ", ".join(f"{result.seed}" for result in results)
        minutes = sum(result.seconds for result in results) / 60
        share = f"{100 * first.fraction:g} %"
        rows.append(
            Row([first.task, runs[0].start, share, _settings(first), seeds, "; ".join(scores), f"{minutes:.1f}"])
        )
    return Table(("task", "start", "training data", "settings", "seeds", "scores", "minutes"), rows, "llrlllr")


def cost_sentence(comparison: Comparison) -> str:
    """What the cost covers."""
    trials = f" and {counted(len(comparison.search), 'trial')} of the search" if comparison.search else ""
    return (
        f"Fine-tuning and its evaluations: {counted(len(comparison.runs), 'run')}{trials}. Examples count each time "
        "that they are trained on, tokens without padding."
    )


def _settings(result: FinetuneResult) -> str:
    values = {name: NONE if value is None else f"{value:g}" for name, value in result.hyperparameters.items()}
    head = "head re-used" if result.reused_head else "new head"
    return ", ".join([*(f"{name} {value}" for name, value in values.items()), head])


def _cost(name: str, results: Sequence[FinetuneResult]) -> Row:
    sums = (
        sum(result.steps for result in results),
        sum(result.trained_examples for result in results),
        sum(result.trained_tokens for result in results),
    )
    hours = sum(result.seconds for result in results) / 3600
    return Row([name, f"{len(results)}", *(f"{value:,}" for value in sums), f"{hours:.2f}"])


def _beside_paper(comparison: Comparison, findings: Findings, table: PaperTable) -> Table:
    keys = {task.key for task in comparison.tasks}
    trained = {f" ({data})": key for data, key in table.training.items() if key in keys} or {"": None}
    ours = [
        Row(
            [
                start.label + data,
                OURS,
                *(
                    _own_cell(findings.runs.get((key or column.task, start.label), ()), column)
                    for column in table.columns
                ),
            ]
        )
        for start in comparison.starts
        for data, key in trained.items()
    ]
    papers = [Row([row.label, PAPERS, *(cell or NONE for cell in row.cells)], paper=True) for row in table.rows]
    head = ("start", "from", *(column.name for column in table.columns))
    return Table(head, [*ours, *papers], "ll" + "r" * len(table.columns))


def _own_cell(runs: Sequence[Run], column: PaperColumn) -> str:
    scores = [run.result.scores for run in runs]
    if not scores or any(metric not in scores[0] for metric in column.metrics):
        return NONE
    # The accuracy of a group that the store lacked is undefined.
    metrics = [metric for metric in column.metrics if not any(math.isnan(own[metric]) for own in scores)]
    return " / ".join(mean_and_deviation(spread([own[metric] for own in scores])) for metric in metrics) or NONE
