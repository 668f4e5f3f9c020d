"""The report as text: what was evaluated, how good it is, and against what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from recipe.report.numbers import percent, points
from recipe.report.results import TaskResult, aggregate, in_report_order

_COLUMNS = ("task", "metric", "score", "baseline", "difference", "n", "other metrics")
_ALIGNMENT = "llrrrrl"


def report_text(results: Sequence[TaskResult], run_name: str, pictures: Sequence[str] = ()) -> str:
    """``report.md``: the aggregate, one table a family and the tasks that do not reach their baseline.

    Args:
        results: One a task, at least one.
        run_name: The heading.
        pictures: Files beside the report to show, in order.
    """
    ordered = in_report_order(results)
    parts = [_summary(ordered, run_name)]
    parts += [f"![{name.rsplit('.', 1)[0]}]({name})" for name in pictures]
    parts += [_family_section(family, list(rows)) for family, rows in groupby(ordered, key=lambda row: row.family)]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], alignment: str) -> str:
    """A table as Markdown, without a line break at its end.

    Args:
        head: Names of the columns.
        rows: Their cells, as many in each.
        alignment: A letter for each column: ``l`` left, ``r`` right.
    """
    marks = ["---:" if side == "r" else "---" for side in alignment]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))


def _summary(results: Sequence[TaskResult], run_name: str) -> str:
    below = [f"`{result.task}`" for result in results if result.difference < 0]
    warning = (
        f"**Below their baseline ({len(below)}):** {', '.join(below)}" if below else "No task is below its baseline."
    )
    return "\n\n".join(
        [
            f"# {run_name}",
            f"**Aggregate: {percent(aggregate(results))} %** over {len(results)} "
            f"task{'s' if len(results) > 1 else ''}, the mean of their primary metrics.",
            "How to read: scores are in % (Matthews correlation times 100), on `n` evaluation examples; the baseline "
            "learns nothing, and the difference to it is in percentage points.",
            warning,
        ]
    )


def _family_section(family: str, results: Sequence[TaskResult]) -> str:
    baselines = ", ".join(sorted({result.baseline_name for result in results}))
    table = markdown_table(_COLUMNS, list(map(_row, results)), _ALIGNMENT)
    return f"## {family.capitalize()}\n\nBaseline: {baselines}.\n\n{table}"


def _row(result: TaskResult) -> tuple[str, ...]:
    others = (f"{name} {percent(score)}" for name, score in result.metrics.items() if name != result.primary)
    flag = " (below)" if result.difference < 0 else ""
    return (
        result.task,
        result.primary,
        percent(result.score),
        percent(result.baseline_score),
        f"{points(result.difference)}{flag}",
        f"{result.examples:,}",
        ", ".join(others),
    )
